"""When two things are nearly the same: the same part in another kind of file, moved, turned, scaled or a little rough.

Distances from the centre, between points, and areas and volumes that three points span do not change with any of that.
Their quantiles, each divided by how much a new sample of points moves it, are hashed so that the share of equal bytes
falls with the distance: 0.84 for another sample of the same surface, 0.6 at twice that distance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Row
from speciate_3d.descriptors import pairs, spread
from speciate_3d.shape import Floats

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
        points = np.frombuffer(row["points"], "<f4").reshape(-1, 6)[:, :3].astype(np.float64)
        placed = (_numbers(points) / SCALE) @ DIRECTIONS / STEP + OFFSETS
        found[i] = np.floor(placed).astype(np.int64) & 255
    return found


def _numbers(points: Floats) -> Floats:
    points = spread(points)
    away = np.sqrt((points * points).sum(axis=1))
    one, two = pairs(len(points), MEASURED)
    apart = points[one] - points[two]
    a, b, c = points[pairs(len(points), MEASURED, 3)]
    across = np.cross(a - b, c - b)
    areas = np.sqrt((across * across).sum(axis=1)) ** 0.5
    volumes = np.abs((a * np.cross(b, c)).sum(axis=1)) ** (1 / 3)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(points.T @ points / len(points)), 0))
    distances = np.sqrt((apart * apart).sum(axis=1))
    parts = [_quantiles(v, n) for v, (n, _) in zip((away, distances, areas, volumes), BLOCKS, strict=False)]
    return np.concatenate([*parts, axes * 2])


def _quantiles(values: Floats, count: int) -> Floats:
    places = ((np.arange(count) + 0.5) / count * len(values)).astype(np.int64)
    return np.sort(values)[places]
