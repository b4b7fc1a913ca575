"""A decoder over the levels of a network: what each has seen, from coarse to fine, added into one map of places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

__all__ = ["Places"]

FINE = 16  # channels of the whole picture


class Places(nn.Module):
    """uint8 [n, 3, size, size] -> float32 [n, width, grid, grid]: the grid of the first part, or, if `fine`, of the
    pixels. `parts` follow one another, each on what the one before it gives."""

    def __init__(self, parts: Sequence[nn.Module], channels: Sequence[int], width: int, fine: bool = False) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.fresh = ("decoder",)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # a seed of a run decides what is learnt, not where a base starts
            self.decoder = Decoder(channels, width, fine)

    def forward(self, pixels: Tensor) -> Tensor:
        x = (pixels.float() / 127.5 - 1).to(next(self.decoder.parameters()).dtype)
        levels = list(accumulate(self.parts, lambda seen, part: part(seen), initial=x))[1:]
        found: Tensor = self.decoder(x, levels)
        return found


class Decoder(nn.Module):
    """A feature pyramid: every level as `width` channels, enlarged, added, smoothed."""

    def __init__(self, channels: Sequence[int], width: int, fine: bool) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, FINE, 3, padding=1) if fine else None
        channels = [FINE, *channels] if fine else channels
        self.sides = nn.ModuleList([nn.Conv2d(channel, width, 1) for channel in channels])
        self.smooth = nn.ModuleList([nn.Conv2d(width, width, 3, padding=1) for _ in channels[1:]])
        # by groups of one picture's channels: a place never depends on other pictures
        self.norms = nn.ModuleList([nn.GroupNorm(8, width) for _ in channels[1:]])

    def forward(self, x: Tensor, levels: Sequence[Tensor]) -> Tensor:
        if self.fine is not None:
            levels = [gelu(self.fine(x)), *levels]
        found: Tensor = self.sides[-1](levels[-1])
        for i in reversed(range(len(levels) - 1)):
            larger = interpolate(found, size=levels[i].shape[2:], mode="bilinear", align_corners=False)
            found = gelu(self.norms[i](self.smooth[i](larger + self.sides[i](levels[i]))))
        return found
