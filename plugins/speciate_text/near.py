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
CHUNK_TEXTS, CHUNK_BYTES = 512, 1 << 16  # at a time, so that the buckets stay in the processor's cache
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
PLAIN = bytes(b if chr(b).isalnum() or b >= 128 else 32 for b in range(256))
TYPOGRAPHIC = dict.fromkeys([*range(0x2010, 0x2070), *range(0x3000, 0x3040), *b"\xa1\xab\xb7\xbb\xbf"], " ")


def signatures(rows: Sequence[Row]) -> NDArray[np.uint8]:
    """[n, 128]. A sentence in a paragraph, a word in twelve, a typo: most bytes stay the same."""
    found = np.empty((len(rows), BUCKETS), dtype=np.uint8)
    chunk: list[bytes] = []
    start = size = 0
    for row in rows:
        text = _normal(row["text"])
        if chunk and (len(chunk) == CHUNK_TEXTS or size + len(text) > CHUNK_BYTES):
            found[start : start + len(chunk)] = _signatures(chunk)
            start, chunk, size = start + len(chunk), [], 0
        chunk.append(text)
        size += len(text)
    if chunk:
        found[start:] = _signatures(chunk)
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


def _signatures(texts: list[bytes]) -> NDArray[np.uint8]:
    smallest = np.full((len(texts), BUCKETS), EMPTY)
    wanting, runs = np.arange(len(texts)), _runs(texts)
    for seed in range(1, HASHES + 1):
        found = smallest[wanting]
        np.copyto(found, _smallest(*runs, seed), where=found == EMPTY)
        smallest[wanting] = found
        empty = (found == EMPTY).any(axis=1)  # a long text is full after the first hash
        if not empty.all():
            wanting = wanting[empty]
            if not len(wanting):
                break
            runs = _runs([texts[i] for i in wanting])
    return (_filled(smallest) >> np.uint64(33)).astype(np.uint8)


def _runs(texts: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]:
    """Every 5 bytes as a number, the first bucket of the text they begin in, and where each text ends."""
    ends = np.cumsum([len(text) for text in texts])
    data = np.frombuffer(b"".join(texts) + bytes(8), dtype=np.uint8)
    words: NDArray[np.uint64] = np.ndarray((len(data) - 8,), "<u8", data, strides=(1,))
    buckets = np.zeros(len(words), dtype=np.uint64)
    buckets[ends[:-1]] = BUCKETS
    return words & np.uint64((1 << 8 * RUN) - 1), np.cumsum(buckets), ends


def _smallest(
    runs: NDArray[np.uint64], buckets: NDArray[np.uint64], ends: NDArray[np.int64], seed: int
) -> NDArray[np.uint64]:
    """[texts, buckets]: the smallest hash of a run in each."""
    hashes = _mix(runs, seed)
    cells = hashes >> np.uint64(57)
    cells += buckets
    hashes <<= np.uint64(13)
    hashes[ends[:, None] - np.arange(1, RUN)] = EMPTY  # what begins in one text and ends in another
    smallest = np.full(len(ends) * BUCKETS, EMPTY)
    np.minimum.at(smallest, cells.view(np.int64), hashes)
    return smallest.reshape(-1, BUCKETS)


def _mix(runs: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A hash: its high bits choose the bucket, bits further down the order within it and what is kept."""
    mixed = runs + np.uint64(seed << 48)
    mixed *= np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return mixed


def _filled(smallest: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Empty buckets take what their nearest neighbour to the left has, round the end."""
    own = np.where(smallest == EMPTY, -1, np.arange(BUCKETS))
    nearest = np.maximum.accumulate(own, axis=1)
    return np.take_along_axis(smallest, np.where(nearest < 0, nearest[:, -1:], nearest), axis=1)
