"""Pictures of any size as one array of squares, ready for a network."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from speciate import Sample

__all__ = ["FITS", "resized", "squares"]

Pixels = NDArray[np.uint8]
FITS = ("stretch", "crop", "pad")


def squares(samples: Sequence[Sample], size: int, fit: str) -> Pixels:
    """uint8 [n, size, size, 3]."""
    found = np.zeros((len(samples), size, size, 3), dtype=np.uint8)
    for square, sample in zip(found, samples, strict=True):
        pixels = sample["pixels"]
        height, width = pixels.shape[:2]
        if fit == "stretch":
            square[:] = resized(pixels, size, size)
        elif fit == "crop":
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square[:] = resized(pixels[top : top + side, left : left + side], size, size)
        else:
            scale = size / max(height, width)
            h, w = max(1, round(height * scale)), max(1, round(width * scale))
            top, left = (size - h) // 2, (size - w) // 2
            square[top : top + h, left : left + w] = resized(pixels, h, w)
    return found


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Averaged where it shrinks, so that nothing is skipped, and interpolated where it grows."""
    h, w = pixels.shape[:2]
    if h > height or w > width:
        pixels = cv2.resize(pixels, (min(w, width), min(h, height)), interpolation=cv2.INTER_AREA)
    if pixels.shape[:2] != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_CUBIC)
    return pixels
