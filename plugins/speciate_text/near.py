"""When two texts are nearly the same: a MinHash of their 5-byte runs, blind to case, spaces and punctuation.

One-permutation hashing: each run falls into one of 128 buckets and the smallest hash in a bucket stands for it, so the
share of equal buckets estimates the Jaccard similarity of two texts. Buckets that stay empty (short texts) are filled
by further hashes, then by their neighbour to the left. Of each bucket 8 bits are kept.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Row

__all__ = ["signatures"]

BUCKETS, RUN, HASHES = 128, 5, 4
CHUNK_TEXTS, CHUNK_BYTES = 256, 1 << 16  # at a time, so that all of it stays in the processor's cache
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
PLAIN = bytes(b if chr(b).isalnum() or b >= 128 else 32 for b in range(256))
TYPOGRAPHIC = dict.fromkeys([*range(0x2010, 0x2070), *range(0x3000, 0x3040), *b"\xa1\xab\xb7\xbb\xbf"], " ")


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 128]. A sentence in a paragraph, a word in twelve, a typo: most bytes stay the same."""
    found = np.empty((len(rows), BUCKETS), dtype=np.uint8)
    room = np.empty((4, CHUNK_BYTES), dtype=np.uint64)
    chunk: list[bytes] = []
    start = size = 0
    for row in rows:
        text = _normal(row["text"])
        if chunk and (len(chunk) == CHUNK_TEXTS or size + len(text) > CHUNK_BYTES):
            found[start : start + len(chunk)] = _signatures(chunk, room)
            start, chunk, size = start + len(chunk), [], 0
        chunk.append(text)
        size += len(text)
    if chunk:
        found[start:] = _signatures(chunk, room)
    return found


def _normal(text: str) -> bytes:
    """Its words, in lower case, one space between them; the signs themselves where there are no words."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(TYPOGRAPHIC)
    data = text.lower().encode(errors="replace")
    words = data.translate(PLAIN)
    while b"  " in words:  # faster than to split it and join it again
        words = words.replace(b"  ", b" ")
    return (words.strip() or b" ".join(data.split())).ljust(RUN, b"\0")


def _signatures(texts: list[bytes], room: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """In arrays that are there already: new ones cost more than what is done with them."""
    smallest = np.full((len(texts), BUCKETS), EMPTY)
    wanting, runs = np.arange(len(texts)), _Runs(texts, room)
    for seed in range(1, HASHES + 1):
        found = smallest[wanting]
        np.copyto(found, runs.smallest(seed), where=found == EMPTY)
        smallest[wanting] = found
        empty = (found == EMPTY).any(axis=1)
        if not empty.any():  # a long text is full after the first hash
            break
        if not empty.all():
            wanting = wanting[empty]
            runs = _Runs([texts[i] for i in wanting], room)
    return (_filled(smallest) >> np.uint64(33)).astype(np.uint8)


class _Runs:
    """Every 5 bytes of some texts as a number, and the first bucket of the text they begin in."""

    def __init__(self, texts: list[bytes], room: NDArray[np.uint64]) -> None:
        self._ends = np.cumsum([len(text) for text in texts])
        n = int(self._ends[-1])
        room = room[:, :n] if n <= room.shape[1] else np.empty((4, n), dtype=np.uint64)
        self._runs, self._buckets, self._hashes, self._spare = room
        data = np.frombuffer(b"".join(texts) + bytes(8), dtype=np.uint8)
        words: NDArray[np.uint64] = np.ndarray((n,), "<u8", data, strides=(1,))
        np.bitwise_and(words, np.uint64((1 << 8 * RUN) - 1), out=self._runs)
        self._buckets[:] = 0
        self._buckets[self._ends[:-1]] = BUCKETS
        np.cumsum(self._buckets, out=self._buckets)

    def smallest(self, seed: int) -> NDArray[np.uint64]:
        """[texts, buckets]: the smallest hash in each. Its high bits choose the bucket, bits further down the order
        within it and what is kept."""
        hashes, spare = self._hashes, self._spare
        np.add(self._runs, np.uint64(seed << 48), out=hashes)
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes ^= np.right_shift(hashes, np.uint64(32), out=spare)
        hashes *= np.uint64(0xBF58476D1CE4E5B9)
        cells = np.right_shift(hashes, np.uint64(57), out=spare)
        cells += self._buckets
        hashes <<= np.uint64(13)
        hashes[self._ends[:, None] - np.arange(1, RUN)] = EMPTY  # what begins in one text and ends in another
        smallest = np.full(len(self._ends) * BUCKETS, EMPTY)
        np.minimum.at(smallest, cells.view(np.int64), hashes)
        return smallest.reshape(-1, BUCKETS)


def _filled(smallest: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Empty buckets take what their nearest neighbour to the left has, round the end."""
    own = np.where(smallest == EMPTY, -1, np.arange(BUCKETS))
    nearest = np.maximum.accumulate(own, axis=1)
    return np.take_along_axis(smallest, np.where(nearest < 0, nearest[:, -1:], nearest), axis=1)
