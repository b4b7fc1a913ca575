"""A base without a network, as one that has one: its vectors are what the network takes, and gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from speciate import Sample
from speciate.contracts import Encoder, TrainableEncoder

__all__ = ["Fixed", "with_network"]


class Fixed:
    """For a method that trains a head alone: over bases that count and hash, or over vectors that are known."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.width = encoder, encoder.width
        self._network = Vectors()

    def network(self) -> nn.Module:
        return self._network

    def answers(self, head: nn.Module) -> None:
        """From now on in float64, as the probe does: in float32 an answer depends on where in memory its row lies, and
        nothing else here moves by so much."""
        self._network.kind = torch.float64
        head.double()

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        known = [sample["vector"] for sample in samples if "vector" in sample]
        vectors = np.stack(known) if known else self.encoder.encode(samples, lambda _: None)
        return {"vectors": torch.from_numpy(vectors)}


class Vectors(nn.Module):
    """Gives what it takes."""

    kind = torch.float32

    def forward(self, vectors: Tensor) -> Tensor:
        return vectors.to(self.kind)


def with_network(encoder: Encoder) -> TrainableEncoder:
    return cast(TrainableEncoder, encoder if hasattr(encoder, "network") else Fixed(encoder))
