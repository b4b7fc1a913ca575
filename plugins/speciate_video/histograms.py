"""A base without weights: the colours of a clip and where they change, counted in the cells of a grid."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_video.options import HistogramOptions

__all__ = ["Histograms"]

VERSION = "frame-histograms 1"
SIDE = 48  # pixels a cell row is counted on
COLOURS, STEPS = 8, 8  # bins of a colour channel, bins of how much a pixel changes
EDGES = np.array([2, 5, 10, 20, 40, 80, 160])  # between the bins of changes, in grey levels


class Histograms:
    """Shares, square-rooted: of colours in each cell, and of changes from frame to frame, up and down, in each cell."""

    tolerance = 0.0

    def __init__(self, options: HistogramOptions) -> None:
        if not 1 <= options.grid <= 8:
            raise UsageError(f"base.grid={options.grid}", "it is from 1 to 8", "type base.grid=3")
        self.grid = options.grid
        self.side = SIDE // self.grid * self.grid
        self.width = self.grid**2 * (3 * COLOURS + 2 * STEPS)

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, self.grid)).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), np.float32)
        for i, sample in enumerate(samples):
            vectors[i] = self._vector(sample["frames"])
            tick(1)
        return vectors

    def _vector(self, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
        size = (self.side, self.side)
        small = np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in frames])
        colours = small // (256 // COLOURS) + np.arange(3, dtype=np.uint8) * COLOURS
        grey = small.astype(np.int16).sum(axis=3) // 3
        change = np.diff(grey, axis=0) if len(grey) > 1 else np.zeros_like(grey)
        steps = np.searchsorted(EDGES, np.abs(change), side="right") + STEPS * (change < 0)
        parts = [self._shares(colours, 3 * COLOURS), self._shares(steps[..., None], 2 * STEPS)]
        vector: NDArray[np.float64] = np.concatenate(parts)
        return vector

    def _shares(self, bins: NDArray[np.integer], count: int) -> NDArray[np.float64]:
        """How often each bin is in each cell."""
        cell = self.side // self.grid
        row = np.arange(self.side) // cell
        cells = (row[:, None] * self.grid + row)[None, :, :, None] * count
        counts = np.bincount((cells + bins).ravel(), minlength=self.grid**2 * count).astype(np.float64)
        return np.sqrt(counts / max(1, bins.size))
