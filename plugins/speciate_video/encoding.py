"""What the bases with a network share: bounded batches of clips of one shape, in the order they were given."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Sample

__all__ = ["NetworkEncoder", "digest"]


class NetworkEncoder:
    """Encodes with `network`, which a subclass makes; it may also be trained."""

    width: int
    tolerance = 1e-3  # how far sums in another order move a head's answer
    size = 0  # pixels that clips are scaled to; 0 takes them as they are

    def __init__(self, batch: int) -> None:
        self._batch, self._lock = max(1, batch), threading.Lock()
        self._network: torch.nn.Module | None = None

    def make(self) -> torch.nn.Module:
        """The network, in eval mode, with its weights."""
        raise NotImplementedError

    def network(self) -> torch.nn.Module:
        with self._lock:
            if self._network is None:
                device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
                self._network = self.make().to(device).eval()
            return self._network

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        """[clip, channel, time, height, width], from -1 to 1."""
        frames = torch.from_numpy(np.stack([sample["frames"] for sample in samples]))
        clips = frames.permute(0, 4, 1, 2, 3).float().mul_(2 / 255).sub_(1)
        if self.size and self.size != clips.shape[-1]:
            shape = (clips.shape[2], self.size, self.size)
            clips = torch.nn.functional.interpolate(clips, shape, mode="trilinear", align_corners=False)
        return {"clips": clips}

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        network = self.network()
        device = next(network.parameters()).device
        with torch.inference_mode():
            for places in _batches(samples, self._batch):
                given = self.batch([samples[i] for i in places])
                found = network(**{name: tensor.to(device) for name, tensor in given.items()})
                vectors[places] = found.float().cpu().numpy()
                tick(len(places))
        return vectors


def _batches(samples: Sequence[Sample], most: int) -> list[list[int]]:
    """Places of samples whose clips have one shape."""
    shapes: dict[Any, list[int]] = {}
    for i, sample in enumerate(samples):
        shapes.setdefault(sample["frames"].shape, []).append(i)
    return [places[at : at + most] for places in shapes.values() for at in range(0, len(places), most)]


def digest(*parts: Any) -> str:
    """A fingerprint of what is chosen."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()
