"""Near-duplicate clips: another codec, size or brightness of the same moving pictures.

A quarter of a signature is what a clip looks like, the rest where it moves: clips of one fixed camera look alike
and are no duplicates, as long as something moves in other places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Row
from speciate_video.options import VideoOptions
from speciate_video.sampling import places

__all__ = ["WIDTH", "look", "places_of", "signatures"]

LOOKS, MOVES, GRID = 4, 96, 16  # frames and quarters, bytes of movement, cells across
WIDTH = 8 * LOOKS + MOVES
OPTIONS = VideoOptions(frames=13)
MOVED = 24  # grey levels of 255
DIFFERENT = 6.0


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 128]: what the reader saw when it watched each clip."""
    return np.stack([np.frombuffer(row["look"], np.uint8) for row in rows]) if rows else np.zeros((0, WIDTH), np.uint8)


def places_of(start: int, end: int) -> list[int]:
    """The frames that a signature looks at."""
    return places(start, end, OPTIONS)


def look(thumbs: Mapping[int, NDArray[np.uint8]], every: int, start: int, end: int) -> bytes:
    """The signature of a clip, from grey thumbnails of a video's frames: of all, or of every n-th."""
    wanted = [place - place % every for place in places_of(start, end)]
    return _signature(np.stack([thumbs[place] for place in wanted]).astype(np.float32)).tobytes()


def _signature(grey: NDArray[np.float32]) -> NDArray[np.uint8]:
    """32 bytes of looks: in which direction it gets darker, over 8 x 8 cells of four frames. 96 bytes of movement: a
    MinHash of where something moved, on a finer grid, in each quarter of the time."""
    count, size, _ = grey.shape
    cells = grey.reshape(count, 8, size // 8, 8, size // 8).mean(axis=(2, 4))[:: count // LOOKS][:LOOKS]
    looks = np.packbits(np.roll(cells, -1, axis=2) - cells > DIFFERENT)
    moved = np.abs(np.diff(grey, axis=0)).reshape(LOOKS, -1, GRID, size // GRID, GRID, size // GRID)
    where = np.flatnonzero(moved.max(axis=(1, 3, 5)) > MOVED)
    moves = HASHES[where].min(axis=0) if len(where) else np.zeros(MOVES, np.uint64)
    return np.concatenate([looks, (moves & np.uint64(255)).astype(np.uint8)])


def _hashes(places: int, many: int) -> NDArray[np.uint64]:
    """Orders of all places, as many as are asked for: splitmix64, which is the same everywhere."""
    mixed = np.arange(1, places * many + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))).reshape(places, many)


HASHES = _hashes(LOOKS * GRID * GRID, MOVES)
