"""Any volume as an array of one shape, from the planes that are needed and no more.

Within a plane a voxel is the mean of what it covers (or between its neighbours where it is smaller than a pixel);
between planes it is interpolated by where they really are, so that gaps and slabs keep their place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from speciate import UsageError
from speciate_dicom.container import Volume

__all__ = ["fitted", "shape_of", "shrunk"]

EXACT = 1 << 24  # whole numbers up to this are what they are in 32 bits
Floats = NDArray[np.float32]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Axis:
    """Where `count` voxels lie on an axis of pixels, and how far apart they are."""

    start: float  # in pixels; the first pixel reaches from 0 to 1
    step: float
    count: int

    @property
    def centres(self) -> NDArray[np.float64]:
        return np.asarray(self.start + (np.arange(self.count) + 0.5) * self.step - 0.5, dtype=np.float64)


def shape_of(text: str) -> Shape | None:
    """DEPTH,HEIGHT,WIDTH as a person types it; nothing for as it is."""
    if not text:
        return None
    try:
        depth, height, width = (int(part) for part in text.split(","))
    except ValueError:
        depth = height = width = 0
    if min(depth, height, width) < 1 or depth * height * width > 1 << 28:
        exists = "a shape is DEPTH,HEIGHT,WIDTH, at most 268 million voxels"
        raise UsageError(f"shape={text!r}", exists, "type shape=64,128,128")
    return depth, height, width


def fitted(volume: Volume, shape: Shape | None, spacing: float) -> tuple[Floats, Floats]:
    """The voxels [depth, height, width] and their spacing: stretched to the shape, or cut and filled at a spacing."""
    own = volume.spacing
    wanted = shape or volume.shape
    axes = [_axis(n, size, mm, spacing) for n, size, mm in zip(volume.shape, wanted, own, strict=True)]
    if shape is None and not spacing:
        voxels = np.stack([volume.plane(number) for number in range(volume.shape[0])])
    else:
        voxels = _between(volume, axes)
    gaps = np.array([axis.step * mm for axis, mm in zip(axes, own, strict=True)], dtype=np.float32)
    if shape is not None and voxels.shape != shape:
        voxels = _centred(voxels, shape, volume.floor if volume.facts.get("void") else float(voxels.min()))
    return np.ascontiguousarray(voxels), gaps


def shrunk(plane: Floats, size: tuple[int, int], most: float = math.inf) -> Floats:
    """A picture at another size; `most` is said of one of whole numbers, none of them larger."""
    for dim, count in enumerate(size):
        plane = _along(plane, Axis(0.0, plane.shape[dim] / count, count), dim, math.inf if dim else most)
    return plane


def _axis(pixels: int, count: int, own: float, spacing: float) -> Axis:
    """The voxels of one axis; those that would lie outside are filled later."""
    if not spacing:
        return Axis(0.0, pixels / count, count)
    step = spacing / own
    inside = max(1, min(count, round(pixels / step)))
    return Axis((pixels - inside * step) / 2, step, inside)


def _between(volume: Volume, axes: list[Axis]) -> Floats:
    """Planes shrunk as they are read; the last two are kept, because neighbours are asked for in turn."""
    depth = volume.shape[0]
    kept: dict[int, Floats] = {}

    def small(number: int) -> Floats:
        if number not in kept:
            while len(kept) > 1:
                kept.pop(min(kept))
            kept[number] = _along(_along(volume.plane(number), axes[1], 0, volume.most(number)), axes[2], 1)
        return kept[number]

    usual = volume.spacing[0]
    extent = float(volume.place[-1] - volume.place[0]) / usual + 1 if depth > 1 else 1.0
    scale = extent / depth  # gaps make the volume longer than its planes
    places = volume.place[0] + usual * np.clip((axes[0].centres + 0.5) * scale - 0.5, 0, extent - 1)
    voxels = np.empty((axes[0].count, axes[1].count, axes[2].count), dtype=np.float32)
    for i, place in enumerate(places):
        low = int(np.clip(np.searchsorted(volume.place, place, side="right") - 1, 0, depth - 1))
        high = min(low + 1, depth - 1)
        gap = float(volume.place[high] - volume.place[low])
        share = np.float32((place - volume.place[low]) / gap) if gap > 0 else np.float32(0)
        voxels[i] = small(low)
        if share > 0:
            voxels[i] += share * (small(high) - voxels[i])
    return voxels


def _along(plane: Floats, axis: Axis, dim: int, most: float = math.inf) -> Floats:
    """Means over the pixels that a voxel covers; between two pixels where it covers less than one. Whole numbers up to
    `most` are summed up in the quickest order."""
    pixels = plane.shape[dim]
    if axis.step == 1 and axis.start == 0 and axis.count == pixels:
        return plane
    if axis.step > 1:
        edges = np.rint(axis.start + np.arange(axis.count + 1) * axis.step).astype(np.int64)
        edges = np.clip(edges, 0, pixels)
        inside = plane[: edges[-1]] if dim == 0 else plane[:, : edges[-1]]
        sizes = np.diff(edges).astype(np.float32)
        exact = dim == 0 and sizes.min() > 0 and most * sizes.max() <= EXACT
        sums = _sums(inside, edges) if exact else np.add.reduceat(inside, edges[:-1], axis=dim, dtype=np.float32)
        return np.asarray(sums / (sizes[:, None] if dim == 0 else sizes), dtype=np.float32)
    centres = np.clip(axis.centres, 0, pixels - 1)
    low = centres.astype(np.int64)
    share = (centres - low).astype(np.float32)
    share = share[:, None] if dim == 0 else share
    a, b = plane.take(low, dim), plane.take(np.minimum(low + 1, pixels - 1), dim)
    return np.asarray(a + share * (b - a), dtype=np.float32)


def _sums(plane: Floats, edges: NDArray[np.int64]) -> Floats:
    """`np.add.reduceat` over rows, in a fifth of its time; the same where the order of sums does not matter."""
    sums = np.empty((len(edges) - 1, *plane.shape[1:]), dtype=np.float32)
    for number, (start, end) in enumerate(pairwise(edges.tolist())):
        np.add.reduce(plane[start:end], axis=0, dtype=np.float32, out=sums[number])
    return sums


def _centred(voxels: Floats, shape: Shape, fill: float) -> Floats:
    whole = np.full(shape, fill, dtype=np.float32)
    starts = [(n - m) // 2 for n, m in zip(shape, voxels.shape, strict=True)]
    whole[tuple(slice(s, s + m) for s, m in zip(starts, voxels.shape, strict=True))] = voxels
    return whole
