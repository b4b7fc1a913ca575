"""When two things are nearly the same: the same part in another kind of file, moved, turned, scaled or a little rough.

Distances from the centre, between points, and areas and volumes that three points span do not change with any of that.
Their quantiles, each divided by how much a new sample of points moves it, are hashed so that the share of equal bytes
falls with the distance: 0.84 for another sample of the same surface, 0.6 at twice that distance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from speciate import Row
from speciate_3d.descriptors import pairs, spread
from speciate_3d.shape import Floats, Ints

__all__ = ["signatures"]

BYTES, STEP = 128, 30.0
MEASURED = 16384
BLOCKS = ((16, 0.010), (16, 0.010), (12, 0.006), (12, 0.004), (3, 0.008))  # how many numbers, and how far they move
SCALE = np.concatenate([np.full(count, moved) for count, moved in BLOCKS])
_fixed = np.random.default_rng(20261121)
DIRECTIONS = _fixed.normal(size=(len(SCALE), BYTES))
OFFSETS = _fixed.random(BYTES)


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 128]."""
    found = np.zeros((len(rows), BYTES), dtype=np.uint8)
    for i, row in enumerate(rows):
        points = np.frombuffer(row["points"], "<f4").reshape(-1, 6)[:, :3]
        placed = (_numbers(points.astype(np.float64)) / SCALE) @ DIRECTIONS / STEP + OFFSETS
        found[i] = np.floor(placed).astype(np.int64) & 255
    return found


def _numbers(points: Floats) -> Floats:
    points = spread(points)
    flat = np.ascontiguousarray(points.T, dtype=np.float32)  # short numbers are put in order in half the time
    one, two = (flat.take(some, axis=1) for some in _pairs(len(points), 2))
    a, b, c = (flat.take(some, axis=1) for some in _pairs(len(points), 3))
    powers = {
        "distances from the centre": (_square(flat), 1 / 2),
        "distances": (_square(one - two), 1 / 2),
        "areas": (_square(_cross(a - b, c - b)), 1 / 4),
        "volumes": (np.abs((a * _cross(b, c)).sum(axis=0)), 1 / 3),
    }
    parts = [_quantiles(v, n) ** power for (v, power), (n, _) in zip(powers.values(), BLOCKS, strict=False)]
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(points.T @ points / len(points)), 0))
    return np.concatenate([*parts, axes * 2])


@lru_cache(maxsize=8)
def _pairs(there: int, of: int) -> Ints:
    return pairs(there, MEASURED, of)


def _square(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths: NDArray[np.float32] = (vectors * vectors).sum(axis=0)
    return lengths


def _cross(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.float32]:
    (a, b, c), (x, y, z) = one, two
    return np.stack([b * z - c * y, c * x - a * z, a * y - b * x])


def _quantiles(values: NDArray[np.float32], count: int) -> Floats:
    places = ((np.arange(count) + 0.5) / count * len(values)).astype(np.int64)
    return np.sort(values)[places].astype(np.float64)
