"""Ingest: files in, rows merged by content hash. Adding the same files twice changes nothing; a damaged file is
quarantined with its reason and the rest goes on; a killed add is repeated and completes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speciate import Row, SpeciateError, UsageError
from speciate.contracts import Progress, Quarantined, Reader
from speciate.errors import unknown
from speciate_datasets.splits import Placed, Splits, named
from speciate_datasets.spool import Spool, to_arrow
from speciate_datasets.store import KEY, Store

TARGETS = ("label", "labels", "target", "class", "category", "topic", "intent", "sentiment", "folder")
TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.large_binary(),
}
OWN = ("id", "digest", "source", "row", "label", "group", "split")
COMMIT_ROWS, COMMIT_BYTES = 50_000, 64 << 20


class Columns:
    """Which columns of a file are the label and the group: the named ones, or the first that usually is."""

    def __init__(self, target: str, group: str) -> None:
        self.asked = {"target": target, "group": group}
        self.target, self.group = target, group or "group"
        self._seen: dict[str, None] = {}

    def look(self, row: Row) -> Columns:
        self._seen.update(dict.fromkeys(row))
        if not self.target:
            lower = {key.lower(): key for key in reversed(row)}
            self.target = next((lower[name] for name in TARGETS if name in lower), "")
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
    target: str
    group: str
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

    def run(self, files: Sequence[Path], progress: Progress) -> None:
        names = source_names(files)
        with progress.track("add", sum(path.stat().st_size for path in files)) as tick:
            for path in files:
                try:
                    self._file(path, names[path])
                except UsageError:
                    raise
                except Exception as error:
                    self.quarantined.append(Quarantined(str(path), _reason(error)))
                tick(path.stat().st_size if path.exists() else 0)
            self._commit()

    def _file(self, path: Path, source: str) -> None:
        with Spool() as spool:
            named_by = Columns(self.target, self.group)
            for number, row in enumerate(self.reader.read(path)):
                spool.add(self._row(named_by.look(row), row, source, number))
            named_by.check()
            self.used = self.used or named_by.target
            for chunk in spool.chunks():
                for row in chunk:
                    self._pending.append(row)
                    self._bytes += sum(len(v) for v in row.values() if isinstance(v, str | bytes))
                if len(self._pending) >= COMMIT_ROWS or self._bytes >= COMMIT_BYTES:
                    self._commit()

    def _row(self, columns: Columns, row: Row, source: str, number: int) -> Row:
        """A reader's row as it is stored: hashed, with its label, group and split named alike for every format."""
        content = {name: row[name] for name in self.reader.schema()}
        others = {key: value for key, value in row.items() if key not in content and key not in OWN}
        others.pop(columns.target, None)
        label, group = row.get(columns.target), row.get(columns.group)
        split = named(self.split or row.get("split"))
        stored = {
            **others,
            **content,
            "label": None if label is None or label == "" else _text(label),
            "group": "" if group is None else _text(group),
        }
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
            self.store.merge(self.table, self._arrow(fresh + changed))

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
        fixed = [KEY, *(pa.field(name, pa.int64() if name == "row" else pa.string()) for name in OWN[1:])]
        fixed += [pa.field(name, TYPES[kind]) for name, kind in self.reader.schema().items()]
        if self.store.exists(self.table):
            there = self.store.schema(self.table)
            fixed += [f for f in there if f.name in rows[0] and f.name not in {g.name for g in fixed}]
        table = to_arrow(rows, pa.schema(fixed))
        kept = {f.name: f for f in fixed}
        return table.cast(pa.schema([kept.get(f.name, f) for f in table.schema]))


def source_names(files: Sequence[Path]) -> dict[Path, str]:
    """A short name for each file that stays true when the folder moves: its path below what they all share."""
    parents = [path.absolute().parent for path in files]
    shared = Path(*_common([parent.parts for parent in parents]))
    return {path: path.absolute().relative_to(shared).as_posix() for path in files}


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
