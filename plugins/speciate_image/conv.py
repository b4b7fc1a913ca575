"""A small convolutional network from random weights, for pictures unlike all that pretrained ones have seen."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from speciate_image.encoder import ImageEncoder
from speciate_image.options import ConvOptions
from speciate_image.pyramid import Places

__all__ = ["ConvImage", "UNetImage"]

VERSION = "conv-image 1"
CHANNELS = (32, 64, 128, 256)


class Stage(nn.Module):
    """Half the size, twice the channels; then two filters added to what comes in."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.smaller = nn.Conv2d(channels, out, 3, 2, 1)
        self.filters = nn.ModuleList([nn.Conv2d(out, out, 3, 1, 1) for _ in range(2)])
        # by groups of one picture's channels: a vector never depends on its neighbours, in training either
        self.norms = nn.ModuleList([nn.GroupNorm(8, out) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        x = gelu(self.norms[0](self.smaller(x)))
        y = x
        for filter, norm in zip(self.filters, self.norms[1:], strict=True):
            y = gelu(norm(filter(y)))
        return x + y


class ConvNetwork(nn.Module):
    """uint8 [n, 3, size, size] -> float32 [n, 256]."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        channels = (3, *CHANNELS)
        self.stages = nn.Sequential(*[Stage(a, b) for a, b in pairwise(channels)])
        rng = np.random.RandomState(seed)  # NumPy has frozen its stream: the same weights with every torch
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                spread = np.sqrt(2 / (layer.in_channels * 9))
                layer.weight.data = torch.from_numpy(rng.normal(0, spread, layer.weight.shape).astype(np.float32))
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.float() / 127.5 - 1).to(next(self.parameters()).dtype)
        pooled: Tensor = self.stages(x).float().mean(dim=(2, 3))
        return pooled


class ConvImage(ImageEncoder):
    """1.6M weights that a Method trains; untrained, its vectors say little."""

    width = CHANNELS[-1]
    version = VERSION

    def __init__(self, options: ConvOptions) -> None:
        super().__init__(options, smallest=16)
        self._asked = (options.seed, options.size, options.fit, options.precision)

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((self.version, CHANNELS, *self._asked)).encode()).hexdigest()

    def make(self) -> nn.Module:
        return ConvNetwork(self._asked[0]).eval()


class UNetImage(ConvImage):
    """The same network, and one that carries what it saw back to every pixel: small, and all of it learns."""

    place_width = 16
    version = "unet-image 1"

    def make_places(self, network: nn.Module) -> nn.Module:
        return Places(list(network.stages), list(CHANNELS), self.place_width, fine=True)  # type: ignore[arg-type]
