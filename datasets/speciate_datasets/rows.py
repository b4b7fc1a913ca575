"""The rows that a loader loads: some columns of a version's split, in an order that never changes, read at any
positions. Small columns are one Arrow copy in memory where they fit; blobs come through `blobs.py`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate.errors import unknown
from speciate_datasets import references
from speciate_datasets.blobs import ROW_ID, Blobs
from speciate_datasets.references import file_column
from speciate_datasets.store import Store
from speciate_datasets.stored import row_hash

BATCH = 8192  # rows that a scan gives at once

Columns = dict[str, Any]
"""A batch: each column as an Arrow array, a blob column as a list of memoryviews."""


@dataclass(frozen=True)
class Where:
    """Which rows: all that another process needs to open the same ones."""

    root: Path
    table: str
    version: int
    split: str
    columns: tuple[str, ...]  # none: all but the features
    ids: tuple[str, ...] | None  # only these
    memory: int  # bytes of small columns to keep; more than that is read when it is asked for
    fast: bool


class Rows:
    """Rows in the order of their ids."""

    def __init__(self, where: Where) -> None:
        self.where = where
        store = Store(where.root)
        self._table, contents = store.open(where.table, where.version), store.contents(where.table)
        schema = store.schema(where.table, where.version)
        self.names = list(where.columns) or [f.name for f in schema if not pa.types.is_fixed_size_list(f.type)]
        for name in self.names:
            if name not in (*schema.names, file_column(schema)):
                raise unknown("column", name, schema.names, "name one of these columns")
        blobs = [name for name in self.names if name in contents.columns]
        file = file_column(schema) if not where.columns or file_column(schema) in where.columns else ""
        self.names += [file] if file and file not in self.names else []
        self._small = [name for name in self.names if name not in (*blobs, file)]
        chosen = self._chosen()
        self._row_ids = chosen[ROW_ID].to_numpy()
        self._kept = chosen.select(self._small) if set(self._small) <= set(chosen.column_names) else None
        self.blobs: dict[str, Blobs | Referred] = {
            name: contents.blobs(name, chosen["id"], where.fast) for name in blobs
        }
        if file or (blobs and "uri" in schema.names):
            self._refer(file, chosen["id"])

    def _refer(self, file: str, ids: pa.ChunkedArray) -> None:
        """Where content lies in files, read it from there."""
        there = self._scan(["id", *references.COLUMNS])
        there = there.take(pc.index_in(ids, there["id"]))
        root = self.where.root.absolute()
        if file:
            self.blobs[file] = Referred(there, root)
        else:
            self.blobs = {name: Referred(there, root, blob) for name, blob in self.blobs.items()}

    def __len__(self) -> int:
        return len(self._row_ids)

    @property
    def in_memory(self) -> bool:
        """Whether taking rows reads no file."""
        return self._kept is not None and all(blob.mapped for blob in self.blobs.values())

    def take(self, positions: NDArray[np.intp]) -> Columns:
        """The rows at these positions, in their order."""
        small = self.small(positions)
        return {name: self.blobs[name].read(positions) if name in self.blobs else small[name] for name in self.names}

    def small(self, positions: NDArray[np.intp]) -> Columns:
        """Only what is not a blob: worth asking for many rows at once."""
        if self._kept is not None:
            part = self._kept.take(pa.array(positions))
        elif self._small:
            part = self._fetched(self._row_ids[positions])
        else:
            part = pa.table({})
        return {name: _whole(part[name]) for name in part.column_names}

    def _chosen(self) -> pa.Table:
        """The rows' numbers and, where they fit, small columns, sorted by id."""
        needed = ["id", "split"]
        everything = [*dict.fromkeys([*needed, *self._small])]
        there = self._scan(everything, self.where.memory)
        there = self._scan(needed) if there is None else there
        if self.where.split:
            there = _filtered(there, pc.equal(there["split"], self.where.split))
        if self.where.ids is not None:
            there = _filtered(there, pc.is_in(there["id"], pa.array(self.where.ids, pa.string())))
        there = there.combine_chunks()  # before it is put in order: rows of many chunks cost thrice as much to take
        return there.take(pc.sort_indices(there["id"])) if there.num_rows else there

    def _scan(self, columns: list[str], limit: float = math.inf) -> Any:
        """These columns of all rows, or nothing where they are larger than the limit."""
        query = self._table.search().select(columns).with_row_id(True).limit(None)
        reader, batches, size = query.to_batches(BATCH), [], 0
        for batch in reader:
            batches.append(batch)
            size += batch.nbytes
            if size > limit:
                return None
        there = pa.Table.from_batches(batches, reader.schema)
        return there.cast(pa.schema([_large(field) for field in there.schema]))

    def _fetched(self, row_ids: NDArray[np.uint64]) -> pa.Table:
        """Rows by their numbers, in the order asked."""
        query = self._table.take_row_ids(row_ids.tolist()).select(self._small).with_row_id()
        there = query.to_arrow()
        return there.take(pc.index_in(pa.array(row_ids), there[ROW_ID]))

    def verify(self, positions: NDArray[np.intp], columns: Columns, content: Sequence[str]) -> None:
        """Refuse rows whose content is not what was added."""
        small = {name: plain(columns[name]) for name in {*content, "id", "source", "row"}}
        for name, column in self.blobs.items():
            if name in content and isinstance(column, Referred) and column.blobs is None:
                small[name] = column.said(positions)
        for i in range(len(positions)):
            if row_hash({name: small[name][i] for name in content}) != small["id"][i]:
                where = f"{small['source'][i]} row {small['row'][i]} (id {small['id'][i]})"
                asked = f"{self.where.table} version {self.where.version} is damaged: {where}"
                raise SpeciateError(asked, "its content is not what was added", "type `speciate fsck`, or add it again")


class Referred:
    """A column whose content lies in files: paths; or the bytes in them, of the rows whose blob is not stored."""

    mapped = False

    def __init__(self, rows: pa.Table, root: Path, blobs: Blobs | Referred | None = None) -> None:
        self._rows, self._root, self.blobs = rows, root, blobs
        self._whole: set[str] = set()

    def read(self, positions: Sequence[int] | NDArray[np.intp]) -> list[Any]:
        rows = self._rows.take(pa.array(positions)).to_pylist()
        if self.blobs is None:
            return [references.restored(row, self._root) for row in rows]
        return [
            memoryview(references.content(row, self._root)) if part is None and row["uri"] else part
            for part, row in zip(self.blobs.read(positions), rows, strict=True)
        ]

    def said(self, positions: NDArray[np.intp]) -> list[str]:
        """The hashes of files, each of which is read once."""
        rows = self._rows.take(pa.array(positions)).to_pylist()
        for row in rows:
            references.restored(row, self._root, whole=row["uri"] not in self._whole)
            self._whole.add(row["uri"])
        return [row["uri_hash"] for row in rows]


def plain(column: Any) -> list[Any]:
    """A column as Python values that can travel."""
    if isinstance(column, list):
        return [bytes(value) if isinstance(value, memoryview) else value for value in column]
    values: list[Any] = column.to_pylist()
    return values


def _filtered(there: pa.Table, mask: pa.ChunkedArray) -> pa.Table:
    """The rows that a mask lets through; where that is all, no copy of them."""
    return there if pc.all(mask).as_py() else there.filter(mask)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    column = column.combine_chunks()
    return column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks else column


def _large(field: pa.Field) -> pa.Field:
    """Text and bytes with 64-bit offsets: a taken column may be over 2 GiB."""
    kinds = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    return field.with_type(kinds.get(field.type, field.type))
