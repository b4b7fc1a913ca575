"""DICOM: series as volumes, slices as pictures, de-identified as they are added. Declarations only."""

from dataclasses import replace

from speciate import IMAGE, VOLUME, Base, Format, Near, hookimpl
from speciate_dicom import options as o

HERE, KNOWN, MAGIC = "speciate_dicom", ("*.dcm", "*.dicom", "*.ima"), (b"DICM",)


@hookimpl
def speciate_formats() -> list[Format]:
    whole, single = "series of DICOM files as volumes, de-identified", "DICOM files as pictures, one a slice or frame"
    volumes, pictures = Near(f"{HERE}.near:volumes", 0.7), Near(f"{HERE}.near:pictures", 0.7)
    series = Format("dicom", whole, VOLUME, KNOWN, f"{HERE}.volumes:DicomReader", MAGIC, o.DicomOptions, volumes)
    slices = Format("dicom-slices", single, IMAGE, KNOWN, f"{HERE}.slices:SliceReader", MAGIC, o.SliceOptions, pictures)
    series, slices = replace(series, together=f"{HERE}.geometry:key_of"), replace(slices, demo=f"{HERE}.demo:levels")
    return [_both(series, "volume"), _both(slices, "picture")]


def _both(one: Format, view: str) -> Format:
    one = replace(one, magic_at=128, requires=("pydicom",), install="speciate[dicom]", example=f"{HERE}.example:write")
    return replace(one, preview=f"{HERE}.views:{view}", augment=f"{HERE}.views:augmented_{view}")


@hookimpl
def speciate_bases() -> list[Base]:
    mean, conv, counts = "an image base over slices, averaged", "a small 3D network to train", "histograms: no weights"
    unet, torch, both = "a small 3D U-Net, to learn masks", (("torch",), "speciate[dicom]"), ("vector", "places")
    return [
        Base("slice-mean", mean, VOLUME, f"{HERE}.bases:SliceMean", o.SliceMeanOptions, *torch, both),
        Base("conv-volume", conv, VOLUME, f"{HERE}.bases:ConvVolume", o.ConvOptions, *torch),
        Base("unet-volume", unet, VOLUME, f"{HERE}.bases:UNetVolume", o.UNetOptions, *torch, both),
        Base("volume-histograms", counts, VOLUME, f"{HERE}.bases:VolumeHistograms", o.HistogramOptions),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return [f"pkg://{HERE}.conf"]
