"""Any image encoder of transformers (ViT, DINOv2, ConvNeXt ...), from a local folder or the hub.

Pictures are prepared by this room's own code after the model's preprocessor_config.json: transformers' processors need
torchvision for speed, and differ from version to version.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate import SpeciateError, hub
from speciate.errors import unknown
from speciate_image.encoder import ImageEncoder
from speciate_image.options import HFImageOptions

if TYPE_CHECKING:
    from torch import nn

__all__ = ["HFImage", "Recipe"]

VERSION = "hf-image 1"  # raise it when the same weights would give other vectors
POOLINGS = ("cls", "mean")


@dataclass(frozen=True)
class Recipe:
    """What a model's own config says about pictures and vectors."""

    width: int
    size: int
    fit: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


class HFImage(ImageEncoder):
    """The first token, or the mean of all tokens or places."""

    def __init__(self, options: HFImageOptions) -> None:
        if options.pooling not in POOLINGS:
            raise unknown("pooling", options.pooling, POOLINGS, "type base.pooling=cls")
        self._folder = hub.locate("hf-image", options.id, options.revision, "facebook/dinov2-small")
        self._recipe = recipe(self._folder)
        fit = self._recipe.fit if options.fit == "auto" else options.fit
        super().__init__(replace(options, size=options.size or self._recipe.size, fit=fit), smallest=8)
        self.width, self._pooling, self._precision = self._recipe.width, options.pooling, options.precision

    def fingerprint(self) -> str:
        """`auto` counts as itself: a model made where bf16 is fast may serve where it is not, within the tolerance."""
        files = hub.hashes(self._folder, hub.PICTURES)
        chosen = (VERSION, self._pooling, self.size, self.fit, self._precision, files)
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def make(self) -> nn.Module:
        from speciate_image.transformer import load

        return load(self._folder, self._recipe, self._pooling)


def recipe(folder: Path) -> Recipe:
    """From config.json and, where it is, preprocessor_config.json."""
    try:
        config = hub.config(folder)
        said = hub.config(folder, "preprocessor_config.json") if (folder / "preprocessor_config.json").is_file() else {}
        width = config["hidden_sizes"][-1] if "hidden_sizes" in config else config["hidden_size"]
        crop = bool(said.get("do_center_crop"))
        size = _side(said.get("crop_size") if crop else None) or _side(said.get("size")) or _side(config["image_size"])
        mean, std = (tuple(map(float, said.get(f"image_{name}") or [0.5] * 3)) for name in ("mean", "std"))
        return Recipe(int(width), int(size), "crop" if crop else "stretch", mean, std)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        do = "give the folder that holds config.json and *.safetensors"
        exists = f"its config.json does not say how wide and large: {type(error).__name__}: {error}"
        raise SpeciateError(f"{folder} is no image encoder of transformers", exists, do) from None


def _side(said: Any) -> int:
    """224 from 224, [224, 224], {"height": 224, "width": 224} or {"shortest_edge": 224}."""
    if isinstance(said, dict):
        said = said.get("shortest_edge") or said.get("height")
    if isinstance(said, list):
        said = said[0]
    return int(said or 0)
