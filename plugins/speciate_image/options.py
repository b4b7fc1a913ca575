"""What a person may choose about images and their bases: plain dataclasses, which are also the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ConvOptions", "EfficientNetOptions", "HFImageOptions", "ImageOptions", "ShapeColourOptions", "UNetOptions"]


@dataclass
class ImageOptions:
    """How to read a picture."""

    max_pixels: int = 80_000_000  # width x height; checked from the header, before anything is decompressed
    strict: bool = True  # refuse a JPEG whose data is damaged; false takes what the decoder makes of it
    background: int = 255  # the grey that shows through transparent parts: 0 is black, 255 white
    deep: str = "spread"  # more than 8 bits: spread (darkest to brightest 99.8 %), full (what the type holds), window
    low: float = 0.0  # of window: this and what is below is black
    high: float = 65535.0  # of window: this and what is above is white


@dataclass
class EfficientNetOptions:
    """EfficientNet-Lite0."""

    size: int = 224  # pixels a side; the work grows with its square
    fit: str = "stretch"  # to the square: stretch, crop (the middle) or pad (with black)
    precision: str = "auto"  # fp32, bf16, or auto: bf16 where this machine has instructions for it
    batch: int = 0  # pictures in a batch; 0 takes 8 on a CPU and 128 on a GPU


@dataclass
class HFImageOptions:
    """Any image encoder of transformers."""

    id: str = ""  # a hub id, or a local folder
    pooling: str = "cls"  # cls: the first token, or mean: of all tokens or places
    size: int = 0  # pixels a side; 0 takes what the model's own config says
    fit: str = "auto"  # stretch, crop, pad, or auto: as the model's own config says
    precision: str = "auto"
    batch: int = 0
    revision: str = ""  # a commit, tag or branch on the hub


@dataclass
class ConvOptions:
    """A small convolutional network that starts from random weights."""

    seed: int = 0
    size: int = 64
    fit: str = "stretch"
    precision: str = "fp32"
    batch: int = 0


@dataclass
class UNetOptions(ConvOptions):
    """A small network from random weights that gives places, too."""

    size: int = 128


@dataclass
class ShapeColourOptions:
    """Histograms of edges and colours."""

    size: int = 64  # pixels a side
    cells: int = 4  # the picture is cut into cells x cells
