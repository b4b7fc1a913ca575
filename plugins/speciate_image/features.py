"""A base without weights: where a picture's edges point, and which colours lie where."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_image.options import ShapeColourOptions
from speciate_image.prepare import resized

__all__ = ["ShapeColour"]

VERSION = "shape-colour 1"
DIRECTIONS, LEVELS, FINE = 8, 4, 2  # of edges; of each colour; edges are told apart in cells this much finer


class ShapeColour:
    """Square roots of histograms of edge directions and colours in cells of the picture, scaled to length 1."""

    tolerance = 0.0

    def __init__(self, options: ShapeColourOptions) -> None:
        if not 1 <= options.cells <= 16 or options.size % (options.cells * FINE) or not 16 <= options.size <= 512:
            asked = f"base.size={options.size} base.cells={options.cells}"
            exists = f"size is from 16 to 512 and a multiple of {FINE} x cells, cells are from 1 to 16"
            raise UsageError(asked, exists, "type base.size=64 base.cells=4")
        self.options = options
        fine = (options.cells * FINE) ** 2
        self.width = fine * DIRECTIONS + options.cells**2 * 3 * LEVELS

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, self.options.size, self.options.cells)).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        for vector, sample in zip(vectors, samples, strict=True):
            small = resized(sample["pixels"], self.options.size, self.options.size)
            vector[:] = np.concatenate([_unit(self._edges(small)), _unit(self._colours(small))]) / np.sqrt(2)
            tick(1)
        return vectors

    def _edges(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """How much edge there is in each direction in each cell; light on dark counts as dark on light."""
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        strength, angle = np.hypot(across, down), np.arctan2(down, across) % np.pi
        direction = (angle * (DIRECTIONS / np.pi)).astype(np.int64) % DIRECTIONS
        return self._counted(direction, DIRECTIONS, strength, self.options.cells * FINE)

    def _colours(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        bins = pixels.astype(np.int64) * LEVELS // 256
        return np.concatenate([self._counted(bins[:, :, c], LEVELS, None, self.options.cells) for c in range(3)])

    def _counted(
        self, bins: NDArray[np.int64], most: int, weights: NDArray[np.float32] | None, cells: int
    ) -> NDArray[np.float32]:
        place = np.arange(self.options.size) * cells // self.options.size
        cell = (place[:, None] * cells + place[None, :]) * most + bins
        given = None if weights is None else weights.ravel()
        return np.bincount(cell.ravel(), given, cells * cells * most).astype(np.float32)


def _unit(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    roots: NDArray[np.float32] = np.sqrt(counts)
    return roots / max(float(np.sqrt((roots * roots).sum())), 1e-12)
