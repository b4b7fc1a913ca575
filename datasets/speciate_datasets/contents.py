"""Large content, beside the rows: each dataset has a table `content.NAME` in which the blobs of a row lie once, under
the row's id, which is a hash of them.

Nothing there ever changes. So labels and vectors are written without touching it (Lance would write blobs again with
every merge), and every version of a dataset finds its content there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate_datasets.blobs import ADDRESS, ROW_ID, Blobs, is_blob
from speciate_datasets.blobs import field as blob_field
from speciate_datasets.lance import reading

if TYPE_CHECKING:
    from speciate_datasets.store import Store

__all__ = ["Contents", "parted", "table_of"]

PREFIX = "content."
BYTES = 64 << 20  # read at once


def table_of(name: str) -> str:
    """The table with the large content of a dataset's table."""
    return PREFIX + name.removeprefix("dataset.")


def parted(rows: pa.Table) -> tuple[pa.Table, pa.Table | None]:
    """Rows without their blobs; and the blobs by id of those that have some, if rows may have such."""
    blobs = [field.name for field in rows.schema if is_blob(field)]
    if not blobs:
        return rows, None
    held = np.logical_or.reduce([np.asarray(pc.is_valid(rows[name])) for name in blobs])
    content = rows.select(["id", *blobs])
    content = content if held.all() else content.filter(pa.array(held))  # which copies it
    plain = pa.schema([rows.schema.field("id"), *(pa.field(name, pa.large_binary()) for name in blobs)])
    return rows.drop_columns(blobs), pa.table(content.columns, schema=plain)


def stored(schema: pa.Schema) -> pa.Schema:
    """The schema of a table of content."""
    return pa.schema([field if field.name == "id" else blob_field(field.name) for field in schema])


class Contents:
    """The blobs of a dataset's rows, as they are when first looked at."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, table_of(name)

    @cached_property
    def columns(self) -> list[str]:
        there = self._store.exists(self._name)
        return [field.name for field in self._table.schema if is_blob(field)] if there else []

    @cached_property
    def _table(self) -> Any:
        return self._store.open(self._name, self._store.version(self._name))

    @cached_property
    def _rows(self) -> pa.Table:
        """Where each blob lies, ordered by id."""
        query = self._table.search().select(["id", *self.columns, ADDRESS]).with_row_id(True)
        with reading(self._name):
            there = query.limit(None).to_arrow()
        return there.take(pc.sort_indices(there["id"])).combine_chunks()

    @cached_property
    def _ids(self) -> NDArray[np.bytes_]:
        return _fixed(self._rows["id"])

    def blobs(self, column: str, ids: pa.Array | pa.ChunkedArray, fast: bool = True) -> Blobs:
        """The blobs of these rows, read by their positions among them; null where a row has none."""
        wanted = _fixed(ids)
        places = np.minimum(np.searchsorted(self._ids, wanted), max(len(self._ids) - 1, 0))
        there = self._ids[places] == wanted if len(self._ids) else np.zeros(len(wanted), dtype=bool)
        rows = self._rows.take(pa.array(places, mask=~there)).combine_chunks()
        for name in (ROW_ID, ADDRESS):
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, name, pc.fill_null(rows[name], 0))
        return Blobs(self._table, column, rows, fast)

    def read(self, column: str, ids: pa.Array | pa.ChunkedArray) -> pa.LargeBinaryArray:
        """The contents themselves."""
        found = self.blobs(column, ids, fast=False).read(range(len(ids)))
        return pa.array([None if part is None else bytes(part) for part in found], pa.large_binary())

    def sizes(self, ids: Sequence[str]) -> NDArray[np.int64]:
        """The bytes that each row's blobs take together."""
        total = np.zeros(len(ids), dtype=np.int64)
        for column in self.columns:
            total += self.blobs(column, pa.array(ids, pa.string()), fast=False).size
        return total


def _fixed(ids: pa.Array | pa.ChunkedArray) -> NDArray[np.bytes_]:
    """Ids as numpy compares them."""
    return np.array(ids.to_pylist(), dtype="S32")
