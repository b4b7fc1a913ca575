"""Near-duplicates: pairs of rows whose signatures agree in most bytes, found without comparing every two.

Signatures are cut into bands of a few bytes, and two rows are compared where one band is equal. The whole signature is
a band of its own, so equal rows always meet. A band that very many rows share (a letterhead, thousands of empty pages)
is bounded: the first few rows of each tag stand for the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speciate.contracts import Near
from speciate_datasets.ahead import Ahead

Numbers = NDArray[np.int64]
Pairs = tuple[Numbers, Numbers, NDArray[np.float64]]  # earlier rows, later rows, how alike they are: 0 to 1
Wanted = Callable[[Numbers, Numbers], NDArray[np.bool_]]

STANDINS = 8  # rows of a band and tag that later ones are compared with
TABLE_BITS = 22
COMPARED = 1 << 13  # pairs at a time
KEYED = 1 << 10  # rows at a time


class Index:
    """The signatures of a dataset, rows numbered as they came. A tag (0 to 3) is what a row must not be parted from
    others by: its split."""

    def __init__(self, near: Near, width: int) -> None:
        self.near, self.count = near, 0
        self._rows = np.empty((0, width), dtype=np.uint8)
        self._keys = np.empty((width // min(near.band, width) + 1, 0), dtype=np.uint32)  # [bands, rows]
        self.tags = np.empty(0, dtype=np.uint8)
        self._marked = np.zeros(1 << TABLE_BITS, dtype=np.bool_)

    def load(self, signatures: NDArray[np.uint8], tags: NDArray[np.uint8]) -> None:
        """Rows that are there already: they are compared with later ones, not with each other."""
        first, self.count = self.count, self.count + len(signatures)
        if self.count > len(self.tags):
            room = max(self.count, 2 * len(self.tags))
            self._rows = _with_room(self._rows, (room, self._rows.shape[1]))
            self._keys = _with_room(self._keys, (len(self._keys), room))
            self.tags = _with_room(self.tags, (room,))
        self._rows[first : self.count] = signatures
        self.tags[first : self.count] = tags
        for start in range(first, self.count, KEYED):
            part = slice(start, min(start + KEYED, self.count))
            self._keys[:, part] = _keys(self._rows[part], len(self._keys) - 1)

    def pairs(self, signatures: NDArray[np.uint8], tags: NDArray[np.uint8], wanted: Wanted) -> Iterator[Pairs]:
        """Add rows, and give the pairs of one of them and an earlier row that are near-duplicates.

        A pair may come more than once; those that are not `wanted` any more are not compared.
        """
        first = self.count
        self.load(signatures, tags)
        yield from self.among(first, wanted, self.near.threshold)

    def among(self, first: int, wanted: Wanted, threshold: float) -> Iterator[Pairs]:
        """The pairs of a row from `first` on and an earlier row that are alike from `threshold` on."""
        bands = range(len(self._keys) - 1, -1, -1)  # the whole signature first
        with Ahead((self._meet(band, first) for band in bands), 1) as meetings:
            for earlier, later in meetings:
                for start in range(0, len(earlier), COMPARED):
                    one, two = earlier[start : start + COMPARED], later[start : start + COMPARED]
                    keep = wanted(one, two)
                    one, two = one[keep], two[keep]
                    same = np.packbits(self._rows[one] == self._rows[two], axis=1)
                    share = np.bitwise_count(same).sum(axis=1) / self._rows.shape[1]
                    alike = share >= threshold
                    if alike.any():
                        yield one[alike], two[alike], share[alike]

    def collect(self, signatures: NDArray[np.uint8], tags: NDArray[np.uint8], wanted: Wanted, most: int) -> Pairs:
        """The pairs of `pairs`, each once; it stops when there are `most`."""
        codes, shares, n = np.empty(0, dtype=np.int64), np.empty(0), self.count + len(signatures)
        for one, two, share in self.pairs(signatures, tags, wanted):
            codes, first = np.unique(np.append(codes, one * n + two), return_index=True)
            shares = np.append(shares, share)[first]
            if len(codes) >= most:
                break
        return codes // max(n, 1), codes % max(n, 1), shares

    def _meet(self, band: int, first: int) -> tuple[Numbers, Numbers]:
        """The rows from `first` on, each beside the earlier rows that stand for its band."""
        keys = self._keys[band, : self.count]
        order = np.argsort(keys[first:], kind="stable") + first
        ordered = keys[order]
        twice = ordered[1:] == ordered[:-1]
        among = np.sort(order[np.append(twice, False) | np.insert(twice, 0, False)]) if len(order) else order
        known = np.concatenate([self._maybe(keys[:first], ordered), among])
        left = np.searchsorted(ordered, keys[known], "left")
        met = np.searchsorted(ordered, keys[known], "right") - left
        known, left, met = known[met > 0], left[met > 0], met[met > 0]
        few = _first_few(keys[known].astype(np.int64) << 2 | self.tags[known], STANDINS)
        known, left, met = known[few], left[few], met[few]
        at = np.arange(met.sum()) - np.repeat(np.cumsum(met) - met, met) + np.repeat(left, met)
        earlier, later = np.repeat(known, met), order[at]
        return earlier[earlier < later], later[earlier < later]

    def _maybe(self, keys: NDArray[np.uint32], wanted: NDArray[np.uint32]) -> Numbers:
        """Where `wanted` keys are, and a few others: a table of bits is faster than a search."""
        if not len(keys):
            return np.empty(0, dtype=np.int64)
        shift = np.uint32(32 - TABLE_BITS)
        self._marked[wanted >> shift] = True
        found = np.flatnonzero(self._marked[keys >> shift])
        self._marked[wanted >> shift] = False
        return found


def _with_room(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The same in a larger one; what nothing is written to takes no memory yet."""
    larger = np.empty(shape, dtype=array.dtype)
    larger[tuple(map(slice, array.shape))] = array
    return larger


def join(roots: Numbers, one: Numbers, two: Numbers) -> None:
    """Union-find over arrays: rows of a pair get the same root, the smallest row of all that hang together."""
    while True:
        a, b = roots[one], roots[two]
        if np.array_equal(a, b):
            return
        np.minimum.at(roots, np.maximum(a, b), np.minimum(a, b))
        while not np.array_equal(roots, further := roots[roots]):
            roots[:] = further


def to_signatures(column: pa.ChunkedArray | pa.Array) -> NDArray[np.uint8]:
    """A `near` column without nulls as uint8 [n, width]."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width = whole.type.byte_width
    if not len(whole):
        return np.empty((0, width), dtype=np.uint8)
    data = np.frombuffer(whole.buffers()[1], dtype=np.uint8)
    return data[whole.offset * width : (whole.offset + len(whole)) * width].reshape(-1, width)


def _keys(signatures: NDArray[np.uint8], bands: int) -> NDArray[np.uint32]:
    """[bands + 1, n]: a hash of each band, and of the whole."""
    n, width = signatures.shape
    band = width // bands
    factors = np.random.default_rng(0).integers(1, 1 << 63, width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    terms = (signatures + np.uint64(1)) * factors
    parts = terms[:, : bands * band].reshape(n, bands, band).sum(axis=2)
    return (np.vstack([parts.T, terms.sum(axis=1)]) >> np.uint64(32)).astype(np.uint32)


def _first_few(keys: Numbers, few: int) -> Numbers:
    """Positions of the first few of each key, in their order."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])) if len(keys) else order
    rank = np.arange(len(keys)) - np.repeat(starts, np.diff(np.append(starts, len(keys))))
    found: Numbers = np.sort(order[rank < few])
    return found
