"""Pictures of points without a renderer: each is a small square on the side it is seen from, and the nearest wins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speciate_3d.shape import Floats

__all__ = ["directions", "splat"]

NEAR = 0.35  # how much of the brightness tells depth from the front to the back


def directions(count: int) -> Floats:
    """Where the eye is: all round, from a little above, a quarter turn between the first two."""
    turns = np.pi / 6 + np.arange(count) * (np.pi / 2 if count <= 3 else 2 * np.pi / count)
    heights = np.array([0.35, 0.35, 1.0])[np.arange(count) % 3] if count <= 3 else np.resize([0.35, 0.9], count)
    flat = np.sqrt(np.maximum(1 - np.minimum(heights, 0.995) ** 2, 0))
    return np.stack([flat * np.cos(turns), flat * np.sin(turns), np.minimum(heights, 0.995)], axis=1)


def splat(points: Floats, normals: Floats, eye: Floats, size: int, dot: int) -> NDArray[np.uint8]:
    """[size, size, 3] on white: brightness is how near it is, colour which way it faces."""
    right = np.cross([0.0, 0.0, 1.0], eye)
    right /= np.sqrt((right * right).sum())
    above = np.cross(eye, right)
    reach = max(float(np.sqrt((points * points).sum(axis=1).max())), 1e-12)
    across, up, depth = (points @ axis / reach for axis in (right, above, eye))
    order = np.argsort(depth, kind="stable")  # the nearest last, so that it stays
    column = ((across[order] * 0.48 + 0.5) * (size - dot)).astype(np.int64)
    row = ((0.5 - up[order] * 0.48) * (size - dot)).astype(np.int64)
    colours = _colours(depth[order], normals[order], np.stack([right, above, eye]))
    picture = np.full((size, size, 3), 255, dtype=np.uint8)
    flat = np.full(size * size, -1, dtype=np.int64)
    rank = np.arange(len(order))
    for down in range(dot):
        for over in range(dot):
            np.maximum.at(flat, (row + down) * size + column + over, rank)
    seen = flat >= 0
    picture.reshape(-1, 3)[seen] = colours[flat[seen]]
    return picture


def _colours(depth: Floats, normals: Floats, frame: Floats) -> NDArray[np.uint8]:
    """Light from the eye and from above; where there are no normals, depth alone."""
    facing = np.abs(normals @ frame.T)  # a surface is seen from both sides
    known = normals.any(axis=1)
    light = np.where(known, 0.25 + 0.55 * facing[:, 2] + 0.2 * facing[:, 1], 0.7)
    shade = light * (1 - NEAR * (1 - (depth + 1) / 2))
    found: NDArray[np.uint8] = np.clip(230 * shade, 0, 255).astype(np.uint8)
    return np.repeat(found[:, None], 3, axis=1)
