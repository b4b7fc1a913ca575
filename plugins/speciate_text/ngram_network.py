"""The module of the base `ngram-net`."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["NgramNetwork"]


class NgramNetwork(nn.Module):
    """The mean of the n-grams' vectors, and two layers that add to it."""

    def __init__(self, buckets: int, width: int, dropout: float, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.bag = nn.EmbeddingBag(buckets, width, mode="mean")
            self.enter = nn.LayerNorm(width)
            self.layers = nn.Sequential(
                nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * width, width)
            )
            self.leave = nn.LayerNorm(width)
        self.eval()

    def forward(self, cells: Tensor, starts: Tensor) -> Tensor:
        mean = self.enter(self.bag(cells, starts))
        found: Tensor = self.leave(mean + self.layers(mean))
        return found
