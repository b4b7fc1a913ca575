"""A base without weights: hashed words and character n-grams, in numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_text.options import HashNgramsOptions

__all__ = ["HashNgrams", "as_bytes", "check_lengths", "hashed"]

Hashes = tuple[NDArray[np.uint64], NDArray[np.int64]]  # and whose text each is of
VERSION = "hash-ngrams 1"
FACTOR = 0x9E3779B97F4A7C15
WORD = 0xFF  # a byte that UTF-8 never uses, so that a word and an n-gram of the same bytes differ
CHUNK_BYTES, CHUNK_CELLS = 1 << 18, 1 << 19
LETTER = np.array([chr(b).isalnum() or b >= 128 for b in range(256)])
POWERS = np.array([pow(FACTOR, i, 1 << 64) for i in range(65)], dtype=np.uint64)  # longer words share the last one


class HashNgrams:
    """Signed counts of n-grams in `width` buckets, square-rooted and scaled to length 1."""

    tolerance = 0.0

    def __init__(self, options: HashNgramsOptions) -> None:
        check_lengths(options.low, options.high)
        if options.width < 16:
            raise UsageError(f"base.width={options.width}", "it is at least 16", "type base.width=2048")
        self.options, self.width = options, options.width

    def fingerprint(self) -> str:
        chosen = (VERSION, self.width, self.options.low, self.options.high)
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        start = 0
        for chunk in self._chunks(samples):
            vectors[start : start + len(chunk)] = self._vectors(chunk)
            start += len(chunk)
            tick(len(chunk))
        return vectors

    def _chunks(self, samples: Sequence[Sample]) -> Iterator[list[bytes]]:
        """Texts as bytes, as many at a time as fit the cache."""
        most = max(1, CHUNK_CELLS // self.width)
        chunk: list[bytes] = []
        size = 0
        for sample in samples:
            text = as_bytes(sample["text"])
            if chunk and (len(chunk) == most or size + len(text) > CHUNK_BYTES):
                yield chunk
                chunk, size = [], 0
            chunk.append(text)
            size += len(text)
        if chunk:
            yield chunk

    def _vectors(self, texts: list[bytes]) -> NDArray[np.float64]:
        counts = np.zeros(len(texts) * self.width)
        for mixed, owners in hashed(texts, self.options.low, self.options.high):
            cells = owners * self.width + (mixed % np.uint64(self.width)).astype(np.int64)
            signs = np.where(mixed >> np.uint64(63), 1.0, -1.0)
            counts += np.bincount(cells, signs, len(counts))
        table = counts.reshape(len(texts), self.width)
        table = np.sign(table) * np.sqrt(np.abs(table))
        lengths = np.sqrt((table * table).sum(axis=1, keepdims=True))
        vectors: NDArray[np.float64] = table / np.maximum(lengths, 1e-12)
        return vectors


def as_bytes(text: str) -> bytes:
    """What is hashed of a text: lower case, one space between words and around them."""
    return f" {' '.join(text.lower().split())} ".encode(errors="replace")


def hashed(texts: list[bytes], low: int, high: int) -> Iterator[Hashes]:
    """Hashes of the n-grams of each length, and of the words, each with whose text it is of."""
    data = np.frombuffer(b"".join(texts), dtype=np.uint8)
    owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    for hashes, owners in [*_ngrams(data, owner, low, high), _words(data, owner)]:
        yield _mix(hashes), owners


def check_lengths(low: int, high: int) -> None:
    if not 1 <= low <= high <= 16:
        asked = f"base.low={low} base.high={high}"
        raise UsageError(asked, "n-grams are from 1 to 16 bytes long, low first", "type base.low=2 base.high=4")


def _ngrams(data: NDArray[np.uint8], owner: NDArray[np.int64], low: int, high: int) -> Iterator[Hashes]:
    """Rolling hashes of every run of n bytes inside one text, and whose text it is."""
    rolled = np.zeros(len(data), dtype=np.uint64)
    for n in range(1, high + 1):
        ends = data[n - 1 :].astype(np.uint64) + np.uint64(1)
        rolled = rolled[: len(ends)] * np.uint64(FACTOR) + ends
        if n >= low:
            inside = owner[: len(ends)] == owner[n - 1 :]
            yield rolled[inside], owner[: len(ends)][inside]


def _words(data: NDArray[np.uint8], owner: NDArray[np.int64]) -> Hashes:
    """A hash of every run of letters and digits. Each text begins with a space, so no word crosses two."""
    letter = LETTER[data]
    starts = np.flatnonzero(letter[1:] & ~letter[:-1]) + 1
    if not len(starts):
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    begun = np.searchsorted(starts, np.arange(len(data)), side="right") - 1
    place = np.minimum(np.arange(len(data)) - starts[np.maximum(begun, 0)], len(POWERS) - 1)
    terms = np.where(letter, data.astype(np.uint64) * POWERS[np.maximum(place, 0)], np.uint64(0))
    return np.add.reduceat(terms, starts) ^ np.uint64(WORD << 56), owner[starts]


def _mix(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64's last step: every bit of the hash moves every bit of the bucket."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))
