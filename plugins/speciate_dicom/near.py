"""When two pictures or volumes are nearly the same: the signs of their low frequencies.

Blind to window, rescale, size and a little noise. A volume is seen from three sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speciate import Row
from speciate_dicom.container import Volume
from speciate_dicom.options import SliceOptions
from speciate_dicom.resample import fitted, shrunk
from speciate_dicom.slices import SliceReader

__all__ = ["looks", "pictures", "volumes"]

SIDE, LOW = 32, 16  # pixels that are looked at, and frequencies that are kept
Floats = NDArray[np.float32]


def pictures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 32] of `dicom-slices`."""
    reader = SliceReader(SliceOptions(window="auto"))
    found = [_signs(shrunk(reader.decode(row)["pixels"][:, :, 0].astype(np.float32), (SIDE, SIDE))) for row in rows]
    return np.stack(found) if found else np.zeros((0, LOW * LOW // 8), dtype=np.uint8)


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
