"""Ingest: files in, rows merged by content hash. Adding the same files twice changes nothing; a damaged file is
quarantined with its reason and the rest goes on; a killed add is repeated and completes."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speciate import Row, SpeciateError, UsageError
from speciate.contracts import STORE_COLUMNS, Progress, Quarantined, Reader
from speciate.errors import unknown
from speciate_datasets.splits import Placed, Splits, named
from speciate_datasets.spool import Spool, holds, to_arrow, wider
from speciate_datasets.store import KEY, Store

TARGETS = ("label", "labels", "target", "class", "category", "topic", "intent", "sentiment", "folder")
TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.large_binary(),
}
COMMIT_ROWS, COMMIT_BYTES = 50_000, 64 << 20


class Columns:
    """Which columns of a file are the label and the group: the named ones, those of the dataset so far, or the first
    that usually is."""

    def __init__(self, asked: Mapping[str, str], usual: Mapping[str, str]) -> None:
        self.asked, self.usual = asked, usual.get("target", "")
        self.target, self.group = asked["target"], asked["group"] or usual.get("group") or "group"
        self._seen: dict[str, None] = {}

    def look(self, row: Row) -> Columns:
        self._seen.update(dict.fromkeys(row))
        if not self.target:
            lower = {key.lower(): key for key in reversed(row)} | dict(zip(row, row, strict=True))
            self.target = next((lower[name] for name in (self.usual, *TARGETS) if name in lower), "")
        return self

    def check(self) -> None:
        """After the whole file: a column that was asked for must have been there."""
        for what, name in self.asked.items():
            if name and self._seen and name not in self._seen:
                raise unknown("column", name, self._seen, f"type --{what} COLUMN")


@dataclass
class Ingest:
    """One `add`: what it was asked, and what it has counted so far."""

    store: Store
    table: str
    reader: Reader
    asked: Mapping[str, str]  # target and group: columns the person named
    usual: Mapping[str, str]  # the same of the dataset so far, where a file has them
    split: str
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    used: str = ""  # the column that gave the labels
    quarantined: list[Quarantined] = field(default_factory=list)
    _pending: list[Row] = field(default_factory=list)
    _bytes: int = 0
    _seen: set[bytes] = field(default_factory=set)
    _splits: Splits | None = None
    _kept: dict[str, pa.DataType] | None = None  # the types of the table's columns
    _types: dict[str, pa.DataType] = field(default_factory=dict)  # of the columns it will get

    def run(self, files: Sequence[Path], progress: Progress) -> None:
        names = source_names(files)
        with progress.track("add", sum(path.stat().st_size for path in files)) as tick:
            for path in files:
                with Spool() as spool:
                    try:
                        self._read(path, names[path], spool)
                    except UsageError:
                        raise
                    except Exception as error:
                        self.quarantined.append(Quarantined(_printable(str(path)), _printable(_reason(error))))
                    else:
                        self._keep(spool)
                tick(path.stat().st_size if path.exists() else 0)
            self._commit()

    def _read(self, path: Path, source: str, spool: Spool) -> None:
        """A whole file into the spool; whatever is wrong with it shows here, before any of it is kept."""
        named_by = Columns(self.asked, self.usual)
        for number, row in enumerate(self.reader.read(path)):
            spool.add(self._row(named_by.look(row), row, source, number))
        named_by.check()
        self._settle(spool.types())
        self.used = self.used or named_by.target

    def _keep(self, spool: Spool) -> None:
        for chunk in spool.chunks():
            for row in chunk:
                self._pending.append(row)
                self._bytes += sum(len(v) for v in row.values() if isinstance(v, str | bytes))
            if len(self._pending) >= COMMIT_ROWS or self._bytes >= COMMIT_BYTES:
                self._commit()

    def _settle(self, found: Mapping[str, pa.DataType]) -> None:
        """The types of the columns: those of the table, or for new ones what holds all files of this add so far."""
        if self._kept is None:
            self._kept = self._fixed()
            if self.store.exists(self.table):
                self._kept |= {f.name: f.type for f in self.store.schema(self.table)}
        for name, kind in found.items():
            if name in self._kept and not holds(self._kept[name], kind):
                asked = f"column {name!r} holds {self._kept[name]} in this dataset"
                raise SpeciateError(asked, f"in this file it holds {kind}", "mend its values, or rename it")
        own = {name: kind for name, kind in found.items() if name not in self._kept}
        self._types |= {name: wider(self._types.get(name, pa.null()), kind) for name, kind in own.items()}

    def _fixed(self) -> dict[str, pa.DataType]:
        """The columns that every dataset of this format has."""
        own = {name: pa.int64() if name == "row" else pa.string() for name in STORE_COLUMNS}
        return own | {name: TYPES[kind] for name, kind in self.reader.schema().items()}

    def _row(self, columns: Columns, row: Row, source: str, number: int) -> Row:
        """A reader's row as it is stored: hashed, with its label, group and split named alike for every format."""
        content = {name: row[name] for name in self.reader.schema()}
        taken = {*content, columns.target, "split"} | ({"group"} & {columns.group})
        others: Row = {}
        for key in (key for key in row if key not in taken):
            others[_free(key, row, others)] = row[key]
        label, group = row.get(columns.target), row.get(columns.group)
        split = self.split or named(row.get("split"))
        stored = {**others, **content, "label": None if _absent(label) else _text(label)}
        stored["group"] = "" if _absent(group) else _text(group)
        where = {"source": source, "row": number, "split": split}
        return {"id": _hash(content), "digest": _hash(stored), **stored, **where}

    def _commit(self) -> None:
        """Put what is pending in the table, under its lock: nobody else decides splits meanwhile."""
        rows, self._pending, self._bytes = self._unseen(), [], 0
        if not rows:
            return
        with self.store.lock(self.table):
            known = self._known(rows)
            fresh = [row for row in rows if row["id"] not in known]
            changed = [
                row for row in rows if row["id"] in known and row["label"] and known[row["id"]][0] != row["digest"]
            ]
            self.added, self.updated = self.added + len(fresh), self.updated + len(changed)
            self.unchanged += len(rows) - len(fresh) - len(changed)
            if not fresh and not changed:
                return
            placed = self._place(fresh)
            for row in fresh:
                row["split"] = placed[row["id"]]
            for row in changed:
                row["split"] = known[row["id"]][1]
            if fresh:
                self.store.merge(self.table, self._arrow(fresh), insert=True)
            if changed:  # columns they do not come with stay as they are, and so do their vectors
                self.store.merge(self.table, self._arrow(changed), insert=False)
            self._kept = None

    def _unseen(self) -> list[Row]:
        """The pending rows without those whose content came before in this add."""
        rows = []
        for row in self._pending:
            key = bytes.fromhex(row["id"])
            if key in self._seen:
                self.duplicates += 1
            else:
                self._seen.add(key)
                rows.append(row)
        return rows

    def _known(self, rows: Sequence[Row]) -> dict[str, tuple[str, str]]:
        """The rows that are there already: id -> digest, split."""
        if not self.store.exists(self.table):
            return {}
        there = self.store.scan(self.table, ["id", "digest", "split"])
        mine = there.filter(pc.is_in(there["id"], pa.array([row["id"] for row in rows])))
        return {row["id"]: (row["digest"], row["split"]) for row in mine.to_pylist()}

    def _place(self, rows: Sequence[Row]) -> dict[str, str]:
        if self._splits is None:
            self._splits = Splits()
            if self.store.exists(self.table):
                there = self.store.scan(self.table, ["label", "group", "split"]).to_pylist()
                self._splits.load((row["label"] or "", row["group"], row["split"]) for row in there)
        return self._splits.assign([Placed(r["id"], r["label"] or "", r["group"], r["split"]) for r in rows])

    def _arrow(self, rows: list[Row]) -> pa.Table:
        fixed = self._fixed()
        there = {f.name: f.type for f in self.store.schema(self.table)} if self.store.exists(self.table) else {}
        fresh = {name: pa.string() if pa.types.is_null(kind) else kind for name, kind in self._types.items()}
        types = fresh | there | fixed
        names = dict.fromkeys([*fixed, *(key for row in rows for key in row)])
        fields = [pa.field(name, types[name]) for name in names if name != "id"]
        return to_arrow(rows, pa.schema([KEY, *fields]))


def source_names(files: Sequence[Path]) -> dict[Path, str]:
    """A short name for each file that stays true when the folder moves: its path below what they all share."""
    parents = [path.absolute().parent for path in files]
    shared = Path(*_common([parent.parts for parent in parents]))
    return {path: _printable(path.absolute().relative_to(shared).as_posix()) for path in files}


def _printable(text: str) -> str:
    """Text with a path in it as it can be stored and printed, whatever bytes the path is made of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _common(parts: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            return
        yield level[0]


def label_counts(store: Store, table: str, version: int | None = None) -> tuple[dict[str, int], dict[str, int]]:
    """How often each label and each split occurs."""
    there = store.scan(table, ["label", "split"], version)
    labels, splits = (Counter(there[name].to_pylist()) for name in ("label", "split"))
    return {str(k): n for k, n in sorted(labels.items(), key=lambda i: -i[1]) if k is not None}, dict(
        sorted(splits.items())
    )


def content_hash(store: Store, table: str) -> str:
    """One hash of all that the rows say, whatever order they lie in."""
    there = store.scan(table, ["id", "digest"]).sort_by("id")
    return hashlib.blake2b("".join(there["digest"].to_pylist()).encode(), digest_size=16).hexdigest()


def _absent(value: Any) -> bool:
    """Whether a cell says nothing; NaN is how tables of numbers say it."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _free(name: str, *others: Row) -> str:
    """A name that is not ours, nor another column's, nor Lance's (dots nest, backticks quote, some begin with _)."""
    free = re.sub("[.`]", "_", name).lstrip("_") or "column"
    while free in STORE_COLUMNS or (free != name and any(free in other for other in others)):
        free += "_"
    return free


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _hash(values: Mapping[str, Any]) -> str:
    """128 bits of what the values say; bytes count as bytes."""
    state = hashlib.blake2b(digest_size=16)
    for name in sorted(values):
        value = values[name]
        data = (
            value
            if isinstance(value, bytes)
            else json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        )
        state.update(f"{name}:{type(value) is bytes}:{len(data)}:".encode())
        state.update(data)
    return state.hexdigest()


def _reason(error: Exception) -> str:
    if isinstance(error, SpeciateError):
        return "; ".join(part for part in (error.asked, error.exists, error.do) if part)
    return f"{type(error).__name__}: {error}"
