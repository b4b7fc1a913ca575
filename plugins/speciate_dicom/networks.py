"""The networks of the volume bases. The one file of this room that imports torch when it is imported."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

__all__ = ["MeanOf", "conv"]

CHANNELS = (1, 16, 32, 64, 128)


class MeanOf(nn.Module):
    """A network over the slices of a volume, averaged."""

    def __init__(self, inner: nn.Module, slices: int) -> None:
        super().__init__()
        self.inner, self.slices = inner, slices

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        vectors: torch.Tensor = self.inner(**batch)
        return vectors.reshape(-1, self.slices, vectors.shape[-1]).mean(dim=1)


class Conv(nn.Module):
    """Four convolutions, each halving the cube; group norm, so that company in a batch does not matter."""

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(CHANNELS):
            layers += [nn.Conv3d(a, b, 3, stride=2, padding=1), nn.GroupNorm(8, b), nn.ReLU()]
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(CHANNELS[-1], width)

    def forward(self, volume: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.layers(volume).mean(dim=(2, 3, 4)))
        return found


def conv(width: int, seed: int) -> nn.Module:
    """The network as the seed makes it; the caller's own random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Conv(width).eval()
