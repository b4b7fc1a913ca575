"""Heads of tasks. They start where they say nothing, or what the training rows say on average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speciate_trainers.tasks.regress import NARROWEST

__all__ = ["PlaceHead", "Scaled", "linear"]


def linear(width: int, out: int) -> nn.Linear:
    """A layer of zeros."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class PlaceHead(nn.Module):
    """A linear layer at each place: [n, width, *grid] -> [n, labels, *grid]. It starts where a label is as likely as
    its share of the places that were seen."""

    def __init__(self, width: int, shares: Sequence[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(width, len(shares))
        nn.init.normal_(self.layer.weight, std=width**-0.5)  # from near zero, what is below hears little at first
        with torch.no_grad():
            self.layer.bias.copy_(torch.tensor(shares, dtype=torch.float32).clamp(min=1e-3).log())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x.movedim(1, -1)).movedim(-1, 1)
        return found


class Scaled(nn.Module):
    """A linear layer that counts in spreads about a mean; gives [n, 2] (of several values [n, values, 2]): the value,
    and its spread, which is that of the training targets, or learnt."""

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, shift: NDArray[Any], scale: NDArray[Any], learns_spread: bool = False) -> None:
        super().__init__()
        values = max(1, np.size(shift))
        self.layer = linear(width, values)
        self.spread = linear(width, values) if learns_spread else None
        for name, array in (("shift", shift), ("scale", scale)):
            self.register_buffer(name, torch.tensor(np.reshape(array, values), dtype=torch.float32))

    @torch.no_grad()
    def start(self, weight: Tensor, bias: Tensor, spread: Tensor) -> None:
        """Go on from a linear layer that is off by this spread."""
        self.layer.weight.copy_(weight)
        self.layer.bias.copy_(bias)
        if self.spread is not None:
            wide = (spread / self.scale).clamp(min=2 * NARROWEST) - NARROWEST
            self.spread.bias.copy_(wide.expm1().log())  # what softplus takes back

    def forward(self, x: Tensor) -> Tensor:
        value = self.layer(x) * self.scale + self.shift
        wide = self.scale.expand_as(value)
        if self.spread is not None:
            wide = (nn.functional.softplus(self.spread(x).float()) + NARROWEST) * wide
        found = torch.stack([value, wide.to(value.dtype)], dim=-1)
        return found if found.shape[1] > 1 else found[:, 0]
