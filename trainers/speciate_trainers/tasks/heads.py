"""Heads that are more than a linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Scaled"]


class Scaled(nn.Module):
    """A linear layer that counts in spreads about a mean; gives [n, 2]: the value, and the spread."""

    shift: Tensor
    scale: Tensor

    def __init__(self, width: int, shift: float, scale: float) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.zeros_(self.layer.bias)
        self.register_buffer("shift", torch.tensor([float(shift)]))
        self.register_buffer("scale", torch.tensor([float(scale)]))

    def forward(self, x: Tensor) -> Tensor:
        value = (self.layer(x) * self.scale + self.shift)[:, 0]
        return torch.stack([value, self.scale.expand_as(value)], dim=1)
