"""The engine: what a workspace asks of its store, in the workspace's own words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from speciate import Format, Row, SpeciateError, UsageError
from speciate.contracts import Added, Progress, Reader
from speciate.errors import unknown
from speciate_datasets.ingest import Ingest, content_hash, label_counts
from speciate_datasets.splits import named
from speciate_datasets.spool import to_arrow
from speciate_datasets.store import KEY, Store, check_name, sync, to_rows, write_json

FEATURE_ROWS = 2048  # computed, then kept, before the next: what a killed run does not lose


class LanceEngine:
    """Datasets and the workspace's own tables in one LanceDB database."""

    def __init__(self, root: Path) -> None:
        self.root, self.store = root, Store(root)

    def add(
        self,
        name: str,
        files: Sequence[Path],
        format: Format,
        reader: Reader,
        *,
        options: Mapping[str, Any],
        target: str,
        group: str,
        split: str,
        progress: Progress,
    ) -> Added:
        table = _table(check_name("dataset", name))
        usual = self._last(name) or {}
        asked = {"target": target, "group": group}
        ingest = Ingest(self.store, table, reader, asked, usual, named(split, UsageError))
        ingest.run(files, progress)
        if not self.store.exists(table):
            reasons = "; ".join(f"{q.path}: {q.reason}" for q in ingest.quarantined[:3])
            raise SpeciateError(f"nothing was added to {name!r}", reasons or "the files hold no rows", "mend the files")
        with self.store.lock(table):  # two who add at once name their versions in the order the versions have
            return self._record(ingest, name, table, format.name, options, group or usual.get("group", ""))

    def _last(self, name: str) -> Row | None:
        return next((row for row in reversed(self.rows("datasets")) if row["name"] == name), None)

    def _record(
        self, ingest: Ingest, name: str, table: str, format: str, options: Mapping[str, Any], group: str
    ) -> Added:
        """What was added, and the row that says a version of a dataset is there."""
        last = self._last(name)
        labels, splits = label_counts(self.store, table)
        content = content_hash(self.store, table)  # feature commits make Lance versions too, which hold the same rows
        same = last is not None and last["content"] == content
        added = Added(
            dataset=name,
            version=last["version"] if last and same else self.store.version(table),
            added=ingest.added,
            updated=ingest.updated,
            unchanged=ingest.unchanged,
            duplicates=ingest.duplicates,
            quarantined=tuple(ingest.quarantined),
            rows=self.store.count(table),
            format=format,
            target=ingest.used or (last or {}).get("target", ""),
            labels=labels,
            splits=splits,
        )
        if not same:
            row = {
                "name": name,
                "version": added.version,
                "rows": added.rows,
                "format": format,
                "options": dict(options),
                "target": added.target,
                "group": group,
                "labels": len(labels),
                "splits": dict(splits),
                "content": content,
                "why": f"added {added.added}, updated {added.updated}",
            }
            self.append("datasets", [row])
        return added

    def dataset(self, name: str, version: int | None = None) -> LanceDataset:
        records = [row for row in self.rows("datasets") if row["name"] == name]
        if not records:
            names = {row["name"] for row in self.rows("datasets")}
            raise unknown("dataset", name, names, f"type `speciate add {name} FILES...`")
        versions = {str(row["version"]) for row in records}
        if version is not None and str(version) not in versions:
            raise unknown(f"version of {name}", str(version), versions, f"type {name}@NUMBER")
        return LanceDataset(self.store, name, version or records[-1]["version"], records[-1])

    def tag(self, name: str, version: int, tag: str) -> None:
        self.store.tag(_table(name), version, tag)

    def append(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table of the workspace, and refresh the index that `list` reads without importing Lance."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        index = self.root / "index" / f"{table}.json"
        with self.store.lock(table):
            index.parent.mkdir(exist_ok=True)
            dirty = index.with_suffix(".dirty")
            dirty.touch()
            sync(index.parent)
            lines = [{"time": now, "row": json.dumps(row, ensure_ascii=False)} for row in rows]
            plain = [{key: value for key, value in row.items() if isinstance(value, str | int | float)} for row in rows]
            there = self.store.schema(table) if self.store.exists(table) else None
            self.store.append(
                table, _plain([{**values, **line} for line, values in zip(lines, plain, strict=True)], there)
            )
            write_json(index, self._rows(table))
            dirty.unlink()

    def rows(self, table: str) -> list[Row]:
        """The rows of one of the workspace's tables, oldest first; mends the index a killed writer left dirty."""
        if not self.store.exists(table):
            return []
        rows = self._rows(table)
        index = self.root / "index" / f"{table}.json"
        if index.with_suffix(".dirty").exists():
            with self.store.lock(table):
                write_json(index, self._rows(table))
                index.with_suffix(".dirty").unlink(missing_ok=True)
        return rows

    def _rows(self, table: str) -> list[Row]:
        there = self.store.scan(table, ["time", "row"]).to_pylist()
        return [{**json.loads(line["row"]), "time": line["time"]} for line in there]


class LanceDataset:
    """One version of one dataset."""

    def __init__(self, store: Store, name: str, version: int, record: Row) -> None:
        self.store, self.name, self.version = store, name, version
        self.format, self.options, self.target = record["format"], record["options"], record["target"]
        self._table = _table(name)

    def count(self) -> int:
        return self.store.count(self._table, self.version)

    def columns(self) -> list[str]:
        schema = self.store.schema(self._table, self.version)
        return [field.name for field in schema if not pa.types.is_fixed_size_list(field.type)]

    def rows(self, split: str = "") -> list[Row]:
        there = self.store.scan(self._table, self.columns(), self.version)
        if split:
            there = there.filter(pc.equal(there["split"], split))
        return to_rows(there.sort_by("id"))

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


def _table(name: str) -> str:
    return f"dataset.{name}"


def _refuse_nan(vectors: NDArray[np.float32], rows: Sequence[Row]) -> None:
    """A vector that is no vector is not kept: it would spoil every later run."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        where = ", ".join(f"{rows[i]['source']} row {rows[i]['row']}" for i in bad[:3])
        raise SpeciateError(f"the base gives NaN or infinity for {len(bad)} rows", where, "mend or remove these rows")


def _plain(rows: Sequence[Row], schema: pa.Schema | None) -> pa.Table:
    """Rows with their JSON, and their plain values beside it as columns for whoever queries the table: a value that
    does not fit its column is in the JSON alone."""
    table = to_arrow(rows)
    if schema is None:
        return table
    return pa.table([_fitted(table, field) for field in schema], schema=schema)


def _fitted(table: pa.Table, field: pa.Field) -> pa.Array:
    try:
        return table[field.name].cast(field.type)
    except (KeyError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.nulls(table.num_rows, field.type)
