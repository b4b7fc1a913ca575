"""When two pictures are nearly the same: signs of random mixtures of their coarse brightness.

A picture becomes 32 x 32 greys and those their low frequencies (DCT). The mean is left out, so brightness does not
count; only signs are kept, so contrast does not; higher frequencies are raised to the strength of lower ones, as else
every picture with a bright sky would look alike. A copy that was compressed again or made smaller keeps most signs.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from speciate import Row

__all__ = ["look", "signatures"]

SIDE, LOW, BYTES, BITS = 32, 9, 64, 6
U, V = np.meshgrid(np.arange(LOW), np.arange(LOW))
KEPT = (U + V > 0) & (U + V < LOW)
RAISED = np.hypot(U, V)[KEPT].astype(np.float32)
# RandomState's stream is frozen by NumPy: a signature is kept in datasets, so it must never change
MIX = np.random.RandomState(0).standard_normal((BYTES * BITS, int(KEPT.sum()))).astype(np.float32)


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 64]: what `look` found when the file was read."""
    return np.frombuffer(b"".join(row["look"] for row in rows), dtype=np.uint8).reshape(len(rows), BYTES)


def look(pixels: NDArray[np.uint8]) -> bytes:
    """64 bytes with 6 signs each."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    while min(grey.shape) >= 8 * SIDE:  # halving even sizes is what OpenCV is quickest at
        h, w = (side // 2 for side in grey.shape)
        grey = cv2.resize(grey[: 2 * h, : 2 * w], (w, h), interpolation=cv2.INTER_AREA)
    grey = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = np.rint(cv2.dct(grey)[:LOW, :LOW][KEPT])  # of an empty picture nothing is left
    signs = MIX @ (low * RAISED) > 0
    return np.packbits(signs.reshape(BYTES, BITS), axis=1).tobytes()
