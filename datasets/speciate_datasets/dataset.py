"""A dataset: one version of its rows, and the vectors that bases have made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import Row, SpeciateError
from speciate_datasets.store import KEY, Store, to_rows
from speciate_datasets.stored import row_hash
from speciate_datasets.versions import added_since, table_of

FEATURE_ROWS = 2048  # computed, then kept, before the next: what a killed run does not lose


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
        schema = self.store.schema(self._table, self.version)
        return [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]

    def rows(self, split: str = "") -> list[Row]:
        """Rows with all their content: what is large comes into memory, too."""
        there = self.store.whole(self._table, self.columns(), self.version)
        if split:
            there = there.filter(pc.equal(there["split"], split))
        return to_rows(there.sort_by("id"))

    def added_since(self, version: int) -> list[str]:
        """The ids of rows that an older version did not have."""
        return added_since(self.store, self.name, version, self.version)

    def verify(self, rows: Sequence[Row]) -> None:
        """Refuse to go on with damaged data: the files of this version and of the newest (which has the vectors) by
        their checksums, the rows by the hash of their content."""
        wrong = [f for v in {self.version, self.store.version(self._table)} for f in self.store.verify(self._table, v)]
        if not wrong and self.content:
            whole = (row for row in rows if all(column in row for column in self.content))
            bad = [row for row in whole if row_hash({c: row[c] for c in self.content}) != row["id"]]
            wrong = [f"{row['source']} row {row['row']}" for row in bad if not row.get("uri")]
        if wrong:
            asked = f"dataset {self.name!r} version {self.version} is damaged: {', '.join(sorted(set(wrong))[:3])}"
            do = f"type `speciate fsck {self.name}`, or go on with another version"
            raise SpeciateError(asked, "what is stored is not what was written", do)

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
        for start in range(0, len(missing), FEATURE_ROWS):
            part = missing[start : start + FEATURE_ROWS]
            out[part] = compute([rows[i] for i in part])
            _refuse_nan(out[part], [rows[i] for i in part])
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(out[part].ravel()), width)
            schema = pa.schema([KEY, pa.field(column, vectors.type)])
            ids = pa.array([rows[i]["id"] for i in part])
            self.store.merge(self._table, pa.table([ids, vectors], schema=schema), insert=False)
        return out

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
