"""Heads of tasks. They start where they say nothing, or what the training rows say on average."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["NARROWEST", "Scaled", "linear"]

NARROWEST = 1e-4  # a spread, in those of the training targets: one of zero would be infinitely sure


def linear(width: int, out: int) -> nn.Linear:
    """A layer of zeros."""
    layer = nn.Linear(width, out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


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
