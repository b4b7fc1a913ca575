"""The frames of clips through the image base's network, to be trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["FramePlaces", "OverTime"]


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


class FramePlaces(nn.Module):
    """What an image base's network says of the places in `looked` frames of each clip: [n, width, looked, *grid]."""

    def __init__(self, inner: nn.Module, looked: int) -> None:
        super().__init__()
        self.inner, self.looked = inner, looked
        self.fresh = tuple(f"inner.{name}" for name in getattr(inner, "fresh", ()))

    def forward(self, lengths: Tensor, **batch: Tensor) -> Tensor:
        middle = (torch.arange(self.looked, device=lengths.device) + 0.5) / self.looked
        at = (lengths.cumsum(0) - lengths)[:, None] + (middle * lengths[:, None]).long()
        seen: Tensor = self.inner(**{name: frames[at.flatten()] for name, frames in batch.items()})
        return seen.reshape(-1, self.looked, *seen.shape[1:]).movedim(1, 2)
