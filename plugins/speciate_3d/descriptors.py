"""A base without weights: how far apart points lie, and which way the surface faces, as histograms in numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_3d.options import ShapeDescriptorsOptions
from speciate_3d.shape import Floats, Ints

__all__ = ["ShapeDescriptors", "pairs", "spread"]

VERSION = "shape-descriptors 1"
HISTOGRAMS = 8


class ShapeDescriptors:
    """Square roots of histograms: distances between points (D2), from the centre, above the ground; normals; sizes."""

    tolerance = 1e-6

    def __init__(self, options: ShapeDescriptorsOptions) -> None:
        if not 4 <= options.bins <= 256 or not 64 <= options.pairs <= 1 << 20:
            asked = f"base.bins={options.bins} base.pairs={options.pairs}"
            raise UsageError(asked, "bins are 4 to 256, pairs 64 to 1,048,576", "type base.bins=32 base.pairs=8192")
        self.options, self.width = options, HISTOGRAMS * options.bins + 6

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, self.options.bins, self.options.pairs)).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        for i, sample in enumerate(samples):
            vectors[i] = self._vector(sample["points"].astype(np.float64), sample["normals"].astype(np.float64))
            tick(1)
        return vectors

    def _vector(self, points: Floats, normals: Floats) -> Floats:
        one, two = pairs(len(points), self.options.pairs)
        points = spread(points)
        away = _length(points)
        towards = points / np.maximum(away, 1e-12)[:, None]
        low, high = points.min(axis=0), points.max(axis=0)
        known = np.asarray(normals.any(axis=1))
        facing = (normals * towards).sum(axis=1)[known]
        angles = (normals[one] * normals[two]).sum(axis=1)[known[one] & known[two]]
        histograms = [
            self._histogram(_length(points[one] - points[two]), 0, 4),
            self._histogram(away, 0, 3),
            self._histogram((points[:, 2] - low[2]) / max(high[2] - low[2], 1e-12), 0, 1),
            self._histogram(_length(points[:, :2]), 0, 3),
            self._histogram(points[:, 2], -2.5, 2.5),
            self._histogram(normals[known, 2], -1, 1),
            self._histogram(facing, -1, 1),
            self._histogram(angles, -1, 1),
        ]
        sides = np.sort(high[:2] - low[:2])
        return np.concatenate([*histograms, sides, [high[2] - low[2]], _axes(points)])

    def _histogram(self, values: Floats, low: float, high: float) -> Floats:
        counts, _ = np.histogram(np.clip(values, low, high), self.options.bins, (low, high))
        return np.sqrt(counts / max(1, len(values)))


def spread(points: Floats) -> Floats:
    """Around their mean, and one away from it in the mean of squares."""
    points = points - points.mean(axis=0)
    return points / max(float(np.sqrt((points * points).sum(axis=1).mean())), 1e-12)


def pairs(there: int, count: int, of: int = 2) -> Ints:
    """[of, count] numbers of points, always the same ones."""
    return np.random.default_rng(there).integers(there, size=(of, count))


def _length(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt((vectors * vectors).sum(axis=1))
    return lengths


def _axes(points: Floats) -> Floats:
    """How far the points spread along their own three axes."""
    spreads: Floats = np.sqrt(np.maximum(np.linalg.eigvalsh(points.T @ points / len(points)), 0))
    return spreads
