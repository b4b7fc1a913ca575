"""What a person sees of a row, and what a model may see of it in training: previews and augmentations."""

from __future__ import annotations

import html
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import Preview, Sample
from speciate_dicom.pictures import automatic, windowed
from speciate_dicom.resample import shrunk

__all__ = ["augmented_picture", "augmented_volume", "picture", "png", "volume"]

SIDE = 256  # pixels of a preview
SHIFT, GAIN, NOISE = 0.06, 0.1, 0.01
FACTS = ("modality", "planes", "height", "width", "spacing", "gaps", "frame")


def picture(row: Mapping[str, Any], sample: Sample) -> Preview:
    """The slice, small."""
    pixels = sample["pixels"]
    size = _within(pixels.shape[0], pixels.shape[1])
    small = np.stack([shrunk(pixels[:, :, i].astype(np.float32), size) for i in range(3)], axis=2)
    return Preview(png(np.rint(small).astype(np.uint8)), _caption(row))


def volume(row: Mapping[str, Any], sample: Sample) -> Preview:
    """The middle plane of each direction, side by side, in their proportions."""
    voxels, spacing = sample["voxels"], sample["spacing"]
    window = automatic(voxels)
    shown = []
    for axis in range(3):
        plane = windowed(np.take(voxels, voxels.shape[axis] // 2, axis), window).astype(np.float32)
        height, width = (n * mm for n, mm in zip(plane.shape, np.delete(spacing, axis), strict=True))
        small = shrunk(plane, _within(height, width))
        square = np.zeros((SIDE, SIDE), dtype=np.uint8)
        top, left = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
        square[top : top + small.shape[0], left : left + small.shape[1]] = np.rint(small)
        shown.append(square if axis == 0 else square[::-1])  # heads up
    grey = np.concatenate(shown, axis=1)
    return Preview(png(np.repeat(grey[:, :, None], 3, axis=2)), _caption(row))


def augmented_picture(sample: Sample, rng: np.random.Generator) -> Sample:
    """Moved a little, a little brighter or darker."""
    pixels = _moved(sample["pixels"], rng, (0, 1))
    gain, offset = 1 + rng.uniform(-GAIN, GAIN), 255 * rng.uniform(-GAIN, GAIN) / 2
    return {**sample, "pixels": np.rint(np.clip(pixels * gain + offset, 0, 255)).astype(np.uint8)}


def augmented_volume(sample: Sample, rng: np.random.Generator) -> Sample:
    """Moved a little, with a little noise. Never mirrored: left is not right."""
    voxels = _moved(sample["voxels"], rng, (0, 1, 2))
    spread = np.float32(voxels.std())
    noise = rng.standard_normal(voxels.shape, dtype=np.float32) * (spread * np.float32(NOISE))
    gain = np.float32(1 + rng.uniform(-GAIN, GAIN))
    middle = np.float32(voxels.mean())
    return {**sample, "voxels": (voxels - middle) * gain + middle + noise}


def png(pixels: NDArray[np.uint8]) -> bytes:
    """[height, width, 3] as a PNG."""
    height, width = pixels.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, width * 3)], axis=1)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))

    head = struct.pack(">LLBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _caption(row: Mapping[str, Any]) -> str:
    shown = [f"{name} {row[name]}" for name in FACTS if row.get(name) not in (None, "")]
    return f"<p>{html.escape(', '.join(shown))}</p>"


def _within(height: float, width: float) -> tuple[int, int]:
    """A size of these proportions that fits the preview."""
    scale = SIDE / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _moved(array: NDArray[Any], rng: np.random.Generator, axes: tuple[int, ...]) -> NDArray[Any]:
    """Shifted along each axis; the edge is repeated where nothing was."""
    for axis in axes:
        size = array.shape[axis]
        by = int(rng.integers(-int(size * SHIFT), int(size * SHIFT) + 1))
        array = np.take(array, np.clip(np.arange(size) - by, 0, size - 1), axis)
    return array
