"""Heads that are more than a linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["PlaceHead", "Scaled"]


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
    """A linear layer that counts in spreads about a mean; gives [n, 2]: the value, and the spread."""

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, shift: float, scale: float) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.register_buffer("shift", torch.tensor(float(shift)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, x: Tensor) -> Tensor:
        value = self.layer(x)[:, 0] * self.scale + self.shift
        return torch.stack([value, self.scale.expand_as(value)], dim=1)
