"""The frames of clips through the image base's network, to be trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["OverTime"]


class OverTime(nn.Module):
    """What `FrameMean.encode` gives, from the frames of all clips in a row and how many each has."""

    def __init__(self, inner: nn.Module, spread: bool) -> None:
        super().__init__()
        self.inner, self.spread = inner, spread

    def forward(self, lengths: Tensor, **batch: Tensor) -> Tensor:
        vectors: Tensor = self.inner(**batch)
        return torch.stack([self._pooled(part) for part in torch.split(vectors, lengths.tolist())])

    def _pooled(self, part: Tensor) -> Tensor:
        mean = part.mean(dim=0)
        if not self.spread:
            return mean
        spread = (part - mean).square().mean(dim=0).clamp(min=1e-12).sqrt()  # clamped: the root of 0 has no slope
        return torch.cat([mean, spread, part.amax(dim=0)])
