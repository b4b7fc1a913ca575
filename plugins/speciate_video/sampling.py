"""Which frames of a clip are looked at, and how each becomes a small square: the lines that training, serving and live
streams share, so that they give the same bits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speciate_video.options import VideoOptions

__all__ = ["places", "square"]

Picture = Any  # uint8 [height, width, 3]


def places(start: int, end: int, options: VideoOptions) -> list[int]:
    """The frames of a clip to take, in order: one of each of equal parts. A short clip has frames more than once."""
    length, count = end - start, options.frames
    inside = [0.5] * count
    if options.sample == "random":
        # Seeded by the clip, so that it is the same whenever it is decoded; for other frames, change the seed.
        draw = random.Random(f"{options.seed}:{start}:{end}")  # noqa: S311
        inside = [draw.random() for _ in range(count)]
    return [start + min(length - 1, int((part + shift) * length / count)) for part, shift in enumerate(inside)]


def square(picture: Picture, size: int) -> NDArray[np.uint8]:
    """A picture of this width and height. Each channel by itself, so the order of colours does not matter."""
    import cv2

    small: NDArray[np.uint8] = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return small
