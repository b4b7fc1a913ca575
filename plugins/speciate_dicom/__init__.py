"""DICOM: series as volumes, slices as pictures, de-identified as they are added. Declarations only."""

from dataclasses import replace

from speciate import IMAGE, VOLUME, Base, Format, Near, hookimpl
from speciate_dicom import options

HERE, EXTRA, KNOWN, MAGIC = "speciate_dicom", "speciate[dicom]", ("*.dcm", "*.dicom", "*.ima"), (b"DICM",)


@hookimpl
def speciate_formats() -> list[Format]:
    whole, single = "series of DICOM files as volumes, de-identified", "DICOM files as pictures, one a slice or frame"
    series = Format("dicom", whole, VOLUME, KNOWN, f"{HERE}.volumes:DicomReader", MAGIC, options.DicomOptions)
    slices = Format("dicom-slices", single, IMAGE, KNOWN, f"{HERE}.slices:SliceReader", MAGIC, options.SliceOptions)
    series, slices = replace(series, together=f"{HERE}.geometry:key_of"), replace(slices, demo=f"{HERE}.demo:levels")
    return [_both(series, "volume"), _both(slices, "picture")]


def _both(one: Format, view: str) -> Format:
    one = replace(one, magic_at=128, requires=("pydicom",), install=EXTRA, near=Near(f"{HERE}.near:{view}s", 0.7))
    one = replace(one, example=f"{HERE}.example:write", pseudonym=f"{HERE}.secret:pseudonyms")
    return replace(one, preview=f"{HERE}.views:{view}", augment=f"{HERE}.views:augmented_{view}")


@hookimpl
def speciate_bases() -> list[Base]:
    mean, counts = "an image base over slices of a volume, averaged: base.base names it", "histograms: no weights"
    conv, astra = "a small 3D network from scratch, to train", "Astra: 117M weights, learnt on chest CTs; heavy"
    return [
        Base("slice-mean", mean, VOLUME, f"{HERE}.bases:SliceMean", options.SliceMeanOptions, ("torch",), EXTRA),
        Base("conv-volume", conv, VOLUME, f"{HERE}.bases:ConvVolume", options.ConvOptions, ("torch",), EXTRA),
        Base("astra-volume", astra, VOLUME, f"{HERE}.astra:AstraVolume", options.AstraOptions, *options.ASTRA),
        Base("volume-histograms", counts, VOLUME, f"{HERE}.bases:VolumeHistograms", options.HistogramOptions),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return [f"pkg://{HERE}.conf"]
