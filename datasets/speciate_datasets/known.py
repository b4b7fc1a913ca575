"""The rows that a dataset has, as an add needs them: 25 bytes a row, read once, and again only if another writer came
in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate_datasets.splits import SPLITS
from speciate_datasets.store import Store

Bytes = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass
class Matched:
    """Which rows of a table are new, changed, or came before in this add; and the splits of the known ones."""

    fresh: Mask
    changed: Mask
    again: Mask
    splits: pa.Array
    places: NDArray[np.int64]


class Known:
    """The ids, digests and splits of a table's rows, and which of them came in this add."""

    def __init__(self, store: Store, table: str) -> None:
        self._store, self._table = store, table
        self._version = 0
        self._ids: list[pa.Array] = []
        self._digests = np.empty(0, dtype=np.uint64)
        self._splits = np.empty(0, dtype=np.uint8)
        self._came = np.empty(0, dtype=np.bool_)

    def refresh(self) -> bool:
        """Under the table's lock: whether the rows are not those of the last look, and had to be read again."""
        version = self._store.version(self._table) if self._store.exists(self._table) else 0
        if version == self._version:
            return False
        came = self._whole().filter(pa.array(self._came))
        self._clear()
        if version:
            for batch in self._store.scan(self._table, ["id", "digest", "split"]).to_batches(1 << 20):
                self.extend(pa.Table.from_batches([batch]), came=False)
        self._came |= np.asarray(pc.is_in(self._whole(), value_set=came))
        self._version = version
        return True

    def match(self, table: pa.Table) -> Matched:
        ids, digests = _ids(table["id"]), _digests(table["digest"])
        codes = np.asarray(ids.dictionary_encode().indices)
        first = np.zeros(len(codes), dtype=np.bool_)
        first[np.unique(codes, return_index=True)[1]] = True
        places = self._find(ids)
        there = places >= 0
        again = ~first | (there & _at(self._came, places))
        differs = there & ~again & (_at(self._digests, places) != digests)
        labelled = np.asarray(pc.fill_null(pc.not_equal(table["label"], ""), False))
        splits = pa.array(SPLITS).take(pa.array(_at(self._splits, places)))
        self._came[places[there]] = True
        return Matched(first & ~there, differs & labelled, again, splits, places)

    def extend(self, table: pa.Table, came: bool = True) -> None:
        """Rows that were added, by this add or before."""
        self._ids.append(_ids(table["id"]))
        codes = pc.index_in(table["split"], value_set=pa.array(SPLITS)).combine_chunks()
        self._digests = np.concatenate([self._digests, _digests(table["digest"])])
        self._splits = np.concatenate([self._splits, np.asarray(pc.fill_null(codes, 0)).astype(np.uint8)])
        self._came = np.concatenate([self._came, np.full(table.num_rows, came)])

    def settle(self, places: NDArray[np.int64], digests: pa.ChunkedArray) -> None:
        """After the commit: what the changed rows say now, and the version that our own writes made."""
        self._digests[places] = _digests(digests)
        self._version = self._store.version(self._table)

    def _clear(self) -> None:
        self._ids = []
        self._digests, self._splits, self._came = self._digests[:0], self._splits[:0], self._came[:0]

    def _whole(self) -> pa.ChunkedArray:
        return pa.chunked_array(self._ids, pa.binary(16))

    def _find(self, ids: pa.Array) -> NDArray[np.int64]:
        """Where each id is, or -1. The small side is hashed, so a lookup is one pass over the large one."""
        places, start = np.full(len(ids), -1, dtype=np.int64), 0
        encoded = ids.dictionary_encode()
        distinct = np.full(len(encoded.dictionary), -1, dtype=np.int64)
        for chunk in self._ids:
            found = pc.index_in(chunk, value_set=encoded.dictionary)
            hits = np.flatnonzero(np.asarray(found.is_valid()))
            distinct[np.asarray(found.take(pa.array(hits)))] = start + hits
            start += len(chunk)
        places[:] = distinct[np.asarray(encoded.indices)]
        return places


def _at(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    """The value at each place; whatever stands for a place that is none is not looked at."""
    return values[places] if len(values) else np.zeros(len(places), dtype=values.dtype)


def _ids(column: pa.ChunkedArray) -> pa.Array:
    whole = _bytes(column)
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(whole), [None, pa.py_buffer(whole)])


def _digests(column: pa.ChunkedArray) -> NDArray[np.uint64]:
    """64 of its 128 bits: enough to notice a change."""
    digests: NDArray[np.uint64] = _bytes(column).view(np.uint64)[:, 0].copy()
    return digests


def _bytes(column: pa.ChunkedArray) -> Bytes:
    """[n, 16] of 32 hexadecimal digits."""
    return np.frombuffer(bytes.fromhex("".join(column.to_pylist())), dtype=np.uint8).reshape(len(column), 16)
