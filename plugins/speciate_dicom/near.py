"""When two pictures or volumes are nearly the same: the signs of their low frequencies.

Blind to window, rescale, size and a little noise. A volume is seen from three sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from speciate import Row
from speciate_dicom.container import Volume
from speciate_dicom.fields import Fields
from speciate_dicom.pictures import shown
from speciate_dicom.resample import fitted, shrunk

__all__ = ["look", "looks", "pictures", "volumes"]

SIDE, LOW = 32, 16  # pixels that are looked at, and frequencies that are kept
ENOUGH = 4 * SIDE  # pixels a side that these are made of
Floats = NDArray[np.float32]


def pictures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 32] of `dicom-slices`; the Reader has looked at the pictures already."""
    found = [np.frombuffer(row["look"], dtype=np.uint8) for row in rows]
    return np.stack(found) if found else np.zeros((0, LOW * LOW // 8), dtype=np.uint8)


def look(data: Dataset, array: NDArray[Any]) -> bytes:
    """A picture as a viewer shows it; of one in colours, its red."""
    return _signs(shrunk(_grey(data, array), (SIDE, SIDE), most=255)).tobytes()


def _grey(data: Dataset, array: NDArray[Any]) -> Floats:
    if array.dtype.kind in "iu" and Fields(data).text("PhotometricInterpretation").startswith("MONOCHROME"):
        array = _binned(array, min(array.shape) // ENOUGH)
    seen = shown(array, data, "auto")
    return (seen if seen.ndim == 2 else seen[:, :, 0]).astype(np.float32)


def _binned(array: NDArray[Any], step: int) -> NDArray[Any]:
    """The mean of a few of every few pixels, so that a large picture costs little more than a small one."""
    if step < 2:
        return array
    height, width = (size - size % step for size in array.shape)
    enough, some = np.int64 if array.itemsize > 2 else np.int32, range(0, step, max(1, step // 2))
    rows = np.add.reduce([array[i:height:step, :width] for i in some], dtype=enough)
    found = np.add.reduce([rows[:, i::step] for i in some]) // len(some) ** 2
    return np.asarray(found, dtype=array.dtype)


def volumes(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 96] of `dicom`; the Reader has looked at the volumes already."""
    found = [np.frombuffer(row["looks"], dtype=np.uint8) for row in rows]
    return np.stack(found) if found else np.zeros((0, 3 * LOW * LOW // 8), dtype=np.uint8)


def looks(path: Path) -> bytes:
    """A volume from its three sides."""
    voxels, _ = fitted(Volume(path), (SIDE, SIDE, SIDE), 0.0)
    return b"".join(_signs(voxels.mean(axis=axis)).tobytes() for axis in range(3))


def _signs(picture: Floats) -> NDArray[np.uint8]:
    """Whether each of the low frequencies is above their median, eight to a byte; not the mean brightness."""
    waves = _cosines()
    low = (waves @ picture @ waves.T).ravel()
    middle = np.median(low[1:])
    bits = low > middle
    bits[0] = False
    return np.packbits(bits)


@lru_cache(maxsize=1)
def _cosines() -> NDArray[np.float64]:
    """The first rows of a discrete cosine transform."""
    found: NDArray[np.float64] = np.cos(np.pi * np.arange(LOW)[:, None] * (np.arange(SIDE)[None] + 0.5) / SIDE)
    return found
