"""A small 3D U-Net from scratch: a cube is looked at in four sizes, and all that was seen comes back to each voxel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

__all__ = ["CubePlaces", "CubeVector", "SlicePlaces", "unet"]


class Look(nn.Module):
    """Two convolutions; group norm, so that company in a batch does not matter."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv3d(channels, out, 3, stride, 1)
        self.second = nn.Conv3d(out, out, 3, 1, 1)
        self.norms = nn.ModuleList([nn.GroupNorm(4, out) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        x = relu(self.norms[0](self.first(x)))
        return relu(self.norms[1](self.second(x)))


class CubePlaces(nn.Module):
    """[n, 1, size, size, size] -> [n, channels, size, size, size]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        sizes = [channels << i for i in range(4)]
        self.down = nn.ModuleList([Look(1, sizes[0]), *(Look(a, b, 2) for a, b in pairwise(sizes))])
        self.up = nn.ModuleList([Look(a + b, a) for a, b in pairwise(sizes)])

    def forward(self, volume: Tensor) -> Tensor:
        seen = self.seen(volume)
        found = seen[-1]
        for skip, look in zip(reversed(seen[:-1]), reversed(self.up), strict=True):
            larger = interpolate(found, size=skip.shape[2:], mode="nearest")
            found = look(torch.cat([skip, larger], dim=1))
        return found

    def seen(self, volume: Tensor) -> list[Tensor]:
        """From fine to coarse."""
        levels = [volume]
        for look in self.down:
            levels.append(look(levels[-1]))
        return levels[1:]


class CubeVector(nn.Module):
    """The mean of what the U-Net sees in its coarsest size."""

    def __init__(self, places: CubePlaces) -> None:
        super().__init__()
        self.inner = places

    def forward(self, volume: Tensor) -> Tensor:
        return self.inner.seen(volume)[-1].mean(dim=(2, 3, 4))


class SlicePlaces(nn.Module):
    """An image base's places over the slices of volumes: [n, width, slices, *grid]."""

    def __init__(self, inner: nn.Module, slices: int) -> None:
        super().__init__()
        self.inner, self.slices = inner, slices
        self.fresh: Sequence[str] = [f"inner.{name}" for name in getattr(inner, "fresh", ())]

    def forward(self, **batch: Tensor) -> Tensor:
        flat: Tensor = self.inner(**batch)
        return flat.reshape(-1, self.slices, *flat.shape[1:]).transpose(1, 2)


def unet(channels: int, seed: int) -> CubeVector:
    """The networks as the seed makes them; the caller's own random numbers stay as they are."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CubeVector(CubePlaces(channels)).eval()
