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
    return [_both(replace(series, together=f"{HERE}.geometry:key_of"), "volume"), _both(slices, "picture")]


def _both(one: Format, view: str) -> Format:
    one = replace(one, magic_at=128, requires=("pydicom",), install=EXTRA, near=Near(f"{HERE}.near:{view}s", 0.7))
    one = replace(one, example=f"{HERE}.example:write", pseudonym=f"{HERE}.secret:pseudonyms")
    one = replace(one, demo=f"{HERE}.demo:levels")  # slices, whichever is asked
    return replace(one, preview=f"{HERE}.views:{view}", augment=f"{HERE}.views:augmented_{view}")


@hookimpl
def speciate_bases() -> list[Base]:
    mean, conv, counts = "an image base over slices, averaged", "a small 3D network to train", "histograms: no weights"
    astra, unet = "Astra: 117M weights, learnt on chest CTs; heavy", "a small 3D U-Net, to learn masks"
    where, torch, both = f"{HERE}.bases", (("torch",), EXTRA), ("vector", "places")
    return [
        Base("slice-mean", mean, VOLUME, f"{where}:SliceMean", options.SliceMeanOptions, *torch, both),
        Base("conv-volume", conv, VOLUME, f"{where}:ConvVolume", options.ConvOptions, *torch),
        Base("unet-volume", unet, VOLUME, f"{where}:UNetVolume", options.UNetOptions, *torch, both),
        Base("astra-volume", astra, VOLUME, f"{HERE}.astra:AstraVolume", options.AstraOptions, *options.ASTRA),
        Base("volume-histograms", counts, VOLUME, f"{where}:VolumeHistograms", options.HistogramOptions),
    ]


speciate_recipes = hookimpl(lambda: [f"pkg://{HERE}.conf"], specname="speciate_recipes")
