"""DICOM: series as volumes, slices as pictures, de-identified as they are added. Declarations only."""

from dataclasses import replace

from speciate import IMAGE, VOLUME, Base, Format, Near, hookimpl
from speciate_dicom.options import ConvOptions, DicomOptions, HistogramOptions, SliceMeanOptions, SliceOptions

HERE, KNOWN, MAGIC = "speciate_dicom", ("*.dcm", "*.dicom", "*.ima"), (b"DICM",)


@hookimpl
def speciate_formats() -> list[Format]:
    whole, single = "series of DICOM files as volumes, de-identified", "DICOM files as pictures, one a slice or frame"
    volumes, pictures = Near(f"{HERE}.near:volumes", 0.7), Near(f"{HERE}.near:pictures", 0.7)
    series = Format("dicom", whole, VOLUME, KNOWN, f"{HERE}.volumes:DicomReader", MAGIC, DicomOptions, volumes)
    slices = Format("dicom-slices", single, IMAGE, KNOWN, f"{HERE}.slices:SliceReader", MAGIC, SliceOptions, pictures)
    series, slices = replace(series, together=f"{HERE}.geometry:key_of"), replace(slices, demo=f"{HERE}.demo:levels")
    return [_both(series, "volume"), _both(slices, "picture")]


def _both(one: Format, view: str) -> Format:
    one = replace(one, magic_at=128, requires=("pydicom",), install="speciate[dicom]", example=f"{HERE}.example:write")
    one = replace(one, pseudonym=f"{HERE}.secret:pseudonyms")
    return replace(one, preview=f"{HERE}.views:{view}", augment=f"{HERE}.views:augmented_{view}")


@hookimpl
def speciate_bases() -> list[Base]:
    mean = "an image base over slices of a volume, averaged: base.base names it"
    conv, counts = "a small 3D network from scratch, to train", "histograms of a volume: no weights"
    torch = (("torch",), "speciate[dicom]")
    return [
        Base("slice-mean", mean, VOLUME, f"{HERE}.bases:SliceMean", SliceMeanOptions, *torch),
        Base("conv-volume", conv, VOLUME, f"{HERE}.bases:ConvVolume", ConvOptions, *torch),
        Base("volume-histograms", counts, VOLUME, f"{HERE}.bases:VolumeHistograms", HistogramOptions),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return [f"pkg://{HERE}.conf"]
