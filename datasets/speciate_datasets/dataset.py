"""A dataset: one version of its rows, and the vectors that bases have made of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import Row, SpeciateError
from speciate_datasets import references
from speciate_datasets.contents import Contents
from speciate_datasets.loader import RowLoader
from speciate_datasets.store import KEY, Store, to_rows
from speciate_datasets.stored import row_hash
from speciate_datasets.versions import added_since, table_of

FEATURE_ROWS = 2048  # computed at a time
KEPT_SECONDS, KEPT_BYTES = 20.0, 64 << 20  # of computing until it is kept: each time costs a look at every row
CONTENT_BYTES = 64 << 20  # of rows whose content is in memory at once


class LanceDataset:
    """One version of one dataset."""

    def __init__(self, store: Store, name: str, version: int, record: Row) -> None:
        self.store, self.name, self.version = store, name, version
        self.format, self.options, self.target = record["format"], record["options"], record["target"]
        self.content: list[str] = list(record.get("columns", []))  # what the ids are hashes of
        self._table = table_of(name)

    def count(self) -> int:
        return self.store.count(self._table, self.version)

    def columns(self) -> list[str]:
        return [*self._small, *self._contents.columns, *([self._file] if self._file else [])]

    def rows(self, split: str = "", content: bool = True) -> list[Row]:
        """Rows with all their content, so what is large comes into memory, too; without it `filled` adds it later."""
        there = self.store.scan(self._table, self._small, self.version)
        if split:
            there = there.filter(pc.equal(there["split"], split))
        rows = to_rows(there.sort_by("id"))
        return self.filled(rows) if content else rows

    def filled(self, rows: Sequence[Row]) -> list[Row]:
        """Rows with the large content that they are without."""
        filled = [dict(row) for row in rows]
        wanted = [row for row in filled if any(column not in row for column in self._contents.columns)]
        ids = pa.array([row["id"] for row in wanted], pa.string())
        for column in self._contents.columns if wanted else ():
            for row, value in zip(wanted, self._contents.read(column, ids).to_pylist(), strict=True):
                referred = value is None and row.get("uri")
                row[column] = references.content(row, self.store.root) if referred else value
        if self._file:
            for row in filled:
                row[self._file] = references.restored(row, self.store.root)
        return filled

    @cached_property
    def _small(self) -> list[str]:
        schema = self.store.open(self._table, self.version).schema
        return [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]

    @cached_property
    def _file(self) -> str:
        """The column that is a file."""
        return references.file_column(self.store.open(self._table, self.version).schema)

    @cached_property
    def _contents(self) -> Contents:
        return self.store.contents(self._table)

    def _parts(self, rows: Sequence[Row]) -> Iterator[slice]:
        """So many rows that their content fits into memory."""
        sizes = self._contents.sizes([row["id"] for row in rows]) if self._contents.columns else np.zeros(len(rows))
        start, total = 0, 0
        for i, size in enumerate(sizes.tolist()):
            if i - start == FEATURE_ROWS or (i > start and total + size > CONTENT_BYTES):
                yield slice(start, i)
                start, total = i, 0
            total += size
        if start < len(rows):
            yield slice(start, len(rows))

    def added_since(self, version: int) -> list[str]:
        """The ids of rows that an older version did not have."""
        return added_since(self.store, self.name, version, self.version)

    def loader(self, ids: Sequence[str], **options: Any) -> RowLoader:
        """Batches of these rows to train on."""
        return RowLoader(self, split="", ids=ids, **options)

    def verify(self, rows: Sequence[Row]) -> None:
        """Refuse to go on with damaged data: the files of this version and of the newest (which has the vectors) by
        their checksums, the rows by the hash of their content."""
        wrong = [f for v in {self.version, self.store.version(self._table)} for f in self.store.verify(self._table, v)]
        if not wrong and self.content:
            wrong = [
                f"{row['source']} row {row['row']}" for part in self._parts(rows) for row in self._wrong(rows[part])
            ]
        if wrong:
            asked = f"dataset {self.name!r} version {self.version} is damaged: {', '.join(sorted(set(wrong))[:3])}"
            do = f"type `speciate fsck {self.name}`, or go on with another version"
            raise SpeciateError(asked, "what is stored is not what was written", do)

    def _wrong(self, rows: Sequence[Row]) -> Iterator[Row]:
        """Rows that do not say what their id is the hash of."""
        if self._file:
            for row in {row["uri"]: row for row in rows}.values():
                references.restored(row, self.store.root, whole=True)
        for row in rows if self._file else self.filled(rows):
            said = {
                c: row["uri_hash"] if c == self._file else row[c] for c in self.content if c in row or c == self._file
            }
            if len(said) == len(self.content) and row_hash(said) != row["id"]:
                yield row

    def features(
        self,
        key: str,
        rows: Sequence[Row],
        width: int,
        compute: Callable[[Sequence[Row]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Vectors live in a column of the newest version, so a later run, a search or an audit finds them there."""
        column = f"features_{key}"
        out = np.zeros((len(rows), width), dtype=np.float32)
        missing = self._read(column, rows, out)
        kept, done, since = 0, 0, time.monotonic()
        try:
            for cut in self._parts([rows[i] for i in missing]):
                part = missing[cut]
                out[part] = compute(self.filled([rows[i] for i in part]))
                _refuse_nan(out[part], [rows[i] for i in part])
                done = cut.stop
                if time.monotonic() - since > KEPT_SECONDS or (done - kept) * out[0].nbytes > KEPT_BYTES:
                    self._keep(column, rows, missing[kept:done], out)
                    kept, since = done, time.monotonic()
        finally:  # whatever ends it, what was computed is not lost
            self._keep(column, rows, missing[kept:done], out)
        return out

    def _keep(self, column: str, rows: Sequence[Row], places: NDArray[np.intp], out: NDArray[np.float32]) -> None:
        if not len(places):
            return
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(out[places].ravel()), out.shape[1])
        schema = pa.schema([KEY, pa.field(column, vectors.type)])
        ids = pa.array([rows[i]["id"] for i in places])
        self.store.merge(self._table, pa.table([ids, vectors], schema=schema), insert=False)

    def _read(self, column: str, rows: Sequence[Row], out: NDArray[np.float32]) -> NDArray[np.intp]:
        """Fill in the vectors that are kept; the positions of the rows that have none."""
        if column not in self.store.schema(self._table).names:
            return np.arange(len(rows))
        there = self.store.scan(self._table, ["id", column])
        there = there.filter(pc.is_valid(there[column])).combine_chunks()
        found = pc.index_in(pa.array([row["id"] for row in rows], pa.string()), there["id"])
        have = np.asarray(found.is_valid())
        if have.any():
            vectors = np.asarray(there[column].combine_chunks().values).reshape(-1, out.shape[1])
            out[have] = vectors[np.asarray(found.drop_null())]
        return np.flatnonzero(~have)


def _refuse_nan(vectors: NDArray[np.float32], rows: Sequence[Row]) -> None:
    """A vector that is no vector is not kept: it would spoil every later run."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        where = ", ".join(f"{rows[i]['source']} row {rows[i]['row']}" for i in bad[:3])
        raise SpeciateError(f"the base gives NaN or infinity for {len(bad)} rows", where, "mend or remove these rows")
