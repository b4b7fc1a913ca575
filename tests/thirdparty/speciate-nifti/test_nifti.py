"""The kit; and a recipe and a base of another plugin, reached by the modality alone."""

import numpy as np
import pytest

import speciate
from speciate import VOLUME, Base
from speciate.catalog import installed
from speciate.testing import FormatContract


class TestNifti(FormatContract):
    name = "nifti"


@pytest.mark.skipif("volume-histograms" not in {b.name for b in installed().all(Base)}, reason="no base of volumes")
def test_a_recipe_for_volumes_learns_from_nifti(tmp_path):
    nib = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    for i in range(40):
        grid = np.linspace(-1, 1, 16)
        ball = (grid[:, None, None] ** 2 + grid[:, None] ** 2 + grid**2) < (0.8 if i % 2 else 0.3)
        values = (ball * 1000 + rng.normal(0, 30, ball.shape)).astype(np.int16)
        path = tmp_path / ("large" if i % 2 else "small") / f"{i}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    workspace = speciate.open(tmp_path / "ws", quiet=True)
    added = workspace.add("balls", tmp_path / "large", tmp_path / "small", labels="folders")
    assert (added.format, added.rows, added.quarantined) == ("nifti", 40, ())
    ran = workspace.run("dicom/probe-histograms", dataset="balls")
    assert ran.scores["accuracy"]["value"] == 1.0
    assert installed().get(Base, "volume-histograms").modality.agrees(VOLUME)
