"""Small good videos of every kind, drawn by code, for the conformance kit and for trying things out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["drawn", "save", "write"]

KINDS = (("slow.mp4", "mp4v", 1), ("fast.avi", "MJPG", 4), ("up.mkv", "mp4v", 2), ("odd.mov", "mp4v", 3))


def write(folder: Path) -> list[Path]:
    """Four videos with a square that moves at speeds of their own."""
    for number, (name, codec, speed) in enumerate(KINDS):
        save(folder / name, drawn(number, speed), codec)
    return [folder / name for name, _, _ in KINDS]


def drawn(seed: int, speed: int, count: int = 24, width: int = 64, height: int = 48) -> Iterator[NDArray[np.uint8]]:
    """RGB frames: a bright square on a background of its own."""
    random = np.random.default_rng(seed)
    ground = random.integers(0, 128, (height, width, 3), np.uint8)
    colour, side = random.integers(160, 256, 3, np.uint8), min(width, height) // 4
    left, top = (int(random.integers(0, 1 + most // 2)) for most in (width, height))
    for i in range(count):
        frame = ground.copy()
        x, y = (left + speed * i) % (width - side), (top + speed * i // 2) % (height - side)
        frame[y : y + side, x : x + side] = colour
        yield frame


def save(path: Path, frames: Iterator[NDArray[np.uint8]], codec: str = "mp4v", fps: float = 25.0) -> Path:
    """RGB frames as a video file."""
    import cv2

    writer = None
    for frame in frames:
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, size)
        writer.write(np.ascontiguousarray(frame[:, :, ::-1]))
    if writer is not None:
        writer.release()
    return path
