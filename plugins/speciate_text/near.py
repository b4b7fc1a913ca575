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
CHUNK_TEXTS, CHUNK_BYTES = 512, 1 << 18  # at a time, so that the buckets stay in the processor's cache
EMPTY = np.uint32(0xFFFFFFFF)
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
    words = data.translate(PLAIN).split() or data.split()
    return b" ".join(words).ljust(RUN, b"\0")


def _signatures(texts: list[bytes]) -> NDArray[np.uint8]:
    runs, owner = _runs(texts)
    smallest = np.full(len(texts) * BUCKETS, EMPTY)
    for seed in range(1, HASHES + 1):
        wanting = (smallest.reshape(-1, BUCKETS) == EMPTY).any(axis=1)  # a long text is full after the first hash
        if not wanting.all():
            kept = wanting[owner]
            runs, owner = runs[kept], owner[kept]
        if not len(runs):
            break
        hashes = _mix(runs, seed)
        cells = owner * BUCKETS + (hashes >> np.uint64(57)).astype(np.int64)
        again = np.full(len(smallest), EMPTY)
        np.minimum.at(again, cells, (hashes >> np.uint64(20)).astype(np.uint32) & ~np.uint32(1 << 31))
        smallest = np.where(smallest == EMPTY, again, smallest)
    return (_filled(smallest.reshape(-1, BUCKETS)) & np.uint32(255)).astype(np.uint8)


def _runs(texts: list[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Every run of 5 bytes inside one text as a number, and whose text it is."""
    owner = np.repeat(np.arange(len(texts)), [len(text) - RUN + 1 for text in texts])
    data = np.frombuffer(b"".join(texts) + bytes(8), dtype=np.uint8)
    words: NDArray[np.uint64] = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    first = np.arange(len(owner)) + (RUN - 1) * owner
    return words[first] & np.uint64((1 << 8 * RUN) - 1), owner


def _mix(runs: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A hash: its high bits choose the bucket, bits further down the order within it and what is kept."""
    mixed = (runs + np.uint64(seed << 48)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)


def _filled(smallest: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Empty buckets take what their nearest neighbour to the left has, round the end."""
    own = np.where(smallest == EMPTY, -1, np.arange(BUCKETS))
    nearest = np.maximum.accumulate(own, axis=1)
    return np.take_along_axis(smallest, np.where(nearest < 0, nearest[:, -1:], nearest), axis=1)
