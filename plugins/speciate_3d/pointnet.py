"""A PointNet++-class encoder from random weights: neighbourhoods of neighbourhoods of points. It imports torch."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speciate import Sample, UsageError
from speciate_3d.options import PointNetOptions

__all__ = ["PointNet"]

VERSION = "pointnet 1"
BATCH = 16
LEVELS = ((128, 24, 64), (32, 16, 128))  # centres, neighbours of each, channels


class PointNet:
    """Vectors from a network whose weights come from a seed, until a Method trains them."""

    tolerance = 1e-4

    def __init__(self, options: PointNetOptions) -> None:
        least = LEVELS[0][0]
        if options.points < least or options.width < 8 or options.seed < 0:
            asked = f"base.points={options.points} base.width={options.width} base.seed={options.seed}"
            raise UsageError(asked, f"at least {least} points, 8 wide, seed 0", "type base.points=1024 base.width=256")
        self.options, self.width = options, options.width
        self._making = threading.Lock()

    def network(self) -> nn.Module:
        with self._making:
            return self._network

    @cached_property
    def _network(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.options.seed)
            return _Network(self.width).eval()

    def fingerprint(self) -> str:
        state = hashlib.sha256(repr((VERSION, self.options.points)).encode())
        for name, tensor in self.network().state_dict().items():
            state.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
        return state.hexdigest()

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        """As many points of each, in its own order: a sample's first points are spread over all of it."""
        count = self.options.points
        chosen = [np.resize(np.arange(len(sample["points"])), count) for sample in samples]
        return {
            name: torch.from_numpy(np.stack([sample[name][c] for sample, c in zip(samples, chosen, strict=True)]))
            for name in ("points", "normals")
        }

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        network = self.network()
        was, vectors = network.training, np.zeros((len(samples), self.width), dtype=np.float32)
        network.eval()
        cores = torch.get_num_threads() if next(network.parameters()).device.type == "cpu" else 1
        pool = ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,))  # holds for each thread
        starts = range(0, len(samples), BATCH)
        try:
            for start, found in zip(
                starts, pool.map(self._vectors, (samples[s : s + BATCH] for s in starts)), strict=True
            ):
                vectors[start : start + len(found)] = found
                tick(len(found))
        finally:
            pool.shutdown(cancel_futures=True)
        network.train(was)
        return vectors

    @torch.inference_mode()
    def _vectors(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        device = next(self._network.parameters()).device
        tensors = {name: tensor.to(device) for name, tensor in self.batch(samples).items()}
        found: NDArray[np.float32] = self._network(**tensors).float().cpu().numpy()
        return found


class _Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        inputs, levels = 3, []
        for centres, neighbours, channels in LEVELS:
            levels.append(_Level(inputs, centres, neighbours, channels))
            inputs = channels
        self.levels = nn.ModuleList(levels)
        self.whole = _layers(inputs + 3, width, width)

    def forward(self, points: Tensor, normals: Tensor) -> Tensor:
        features = normals
        for level in self.levels:
            points, features = level(points, features)
        found: Tensor = self.whole(torch.cat([points, features], dim=-1)).amax(dim=1)
        return found


class _Level(nn.Module):
    """Points spread far apart, and what lies around each, as seen from it."""

    def __init__(self, inputs: int, centres: int, neighbours: int, channels: int) -> None:
        super().__init__()
        self.centres, self.neighbours = centres, neighbours
        self.layers = _layers(inputs + 3, channels, channels)

    def forward(self, points: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        centres = _pick(points, farthest(points, self.centres))
        apart = ((centres[:, :, None] - points[:, None]) ** 2).sum(dim=-1)
        around = apart.topk(self.neighbours, dim=-1, largest=False).indices.flatten(1)
        shape = (len(points), self.centres, self.neighbours)
        places = _pick(points, around).view(*shape, -1) - centres[:, :, None]
        seen = _pick(features, around).view(*shape, -1)
        size = places.square().sum(dim=-1).amax(dim=-1)[..., None, None].sqrt().clamp_min(1e-6)
        return centres, self.layers(torch.cat([places / size, seen], dim=-1)).amax(dim=2)


def _layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Norms within a point, not within a batch: a vector never depends on its neighbours in a batch."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs), nn.LayerNorm(outputs)
    )


@torch.no_grad()
def farthest(points: Tensor, count: int) -> Tensor:
    """[batch, count] points, each the farthest from those before it, beginning with the first."""
    chosen = torch.zeros(points.shape[0], count, dtype=torch.long, device=points.device)
    nearest = torch.full(points.shape[:2], torch.inf, device=points.device)
    for i in range(1, count):
        last = _pick(points, chosen[:, i - 1 : i])
        nearest = torch.minimum(nearest, ((points - last) ** 2).sum(dim=-1))
        chosen[:, i] = nearest.argmax(dim=1)
    return chosen


def _pick(values: Tensor, places: Tensor) -> Tensor:
    """values[batch, places]."""
    return values.gather(1, places[..., None].expand(-1, -1, values.shape[-1]))
