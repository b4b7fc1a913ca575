"""What the bases share that are a network over volumes of one size."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample

if TYPE_CHECKING:
    import torch

__all__ = ["NetworkEncoder"]


class NetworkEncoder:
    """Encodes with the network that a subclass makes; it may also be trained."""

    width: int
    tolerance = 1e-4
    together = 8  # volumes in a batch

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._network: torch.nn.Module | None = None

    def make(self) -> torch.nn.Module:
        """The network, in eval mode, with its weights."""
        raise NotImplementedError

    def network(self) -> torch.nn.Module:
        with self._lock:
            if self._network is None:
                self._network = self.make()
            return self._network

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        raise NotImplementedError

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        import torch

        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        network = self.network().eval()
        device = next(network.parameters()).device
        for start in range(0, len(samples), self.together):
            some = samples[start : start + self.together]
            with torch.inference_mode():
                given = {name: tensor.to(device) for name, tensor in self.batch(some).items()}
                vectors[start : start + len(some)] = network(**given).float().cpu().numpy()
            tick(len(some))
        return vectors
