"""What a reader gives as it is stored: hashed, with its label, group and split named alike for every format.

This is the half of ingest that runs in the reading processes, so it imports neither the store nor Lance.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from speciate import Row, SpeciateError
from speciate.contracts import COLUMN_TYPES, STORE_COLUMNS, Near, Reader
from speciate.errors import unknown
from speciate.masks import shown
from speciate_datasets import maskfiles, references
from speciate_datasets.hashes import hash_of
from speciate_datasets.keep import Keeper
from speciate_datasets.splits import named

TARGETS = ("label", "labels", "target", "class", "category", "topic", "intent", "sentiment", "folder")
TYPES = {
    "string": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "bytes": pa.large_binary(),
    "blob": pa.large_binary(),
}
Parts = dict[str, tuple[bytes, bytes]]
_json = json.JSONEncoder(ensure_ascii=False, default=str).encode


@dataclass(frozen=True)
class File:
    """A file to read, its name in the dataset, and what a label file says of it."""

    path: Path
    source: str
    size: int
    said: Mapping[str, Any] | None = None
    parts: tuple[Path, ...] = ()  # all files that are this one thing, where a format has such


@dataclass(frozen=True)
class Task:
    """How every file of one add is read; it travels to the reading processes."""

    reader: str  # import string
    options: Any
    schema: Mapping[str, str]
    asked: Mapping[str, str]  # target and group: columns the person named
    usual: Mapping[str, str]  # the same of the dataset so far, where a file has them
    split: str = ""
    near: Near | None = None
    labelled: bool = False  # labels come from a label file alone
    home: str = ""  # the workspace
    reference: bool = False  # content stays in its files
    together: bool = False  # a File may be several


class Columns:
    """Which columns of a file are the label and the group: the named ones, those of the dataset so far, or the first
    that usually is."""

    def __init__(self, asked: Mapping[str, str], usual: Mapping[str, str]) -> None:
        self.asked, self.usual = asked, usual.get("target", "")
        self.target, self.group = asked["target"], asked["group"] or usual.get("group") or "group"
        self._seen: dict[str, None] = {}
        self._last: tuple[str, ...] = ()

    def look(self, row: Row) -> Columns:
        names = tuple(row)
        if names == self._last:
            return self
        self._last = names
        self._seen.update(dict.fromkeys(names))
        if not self.target:
            lower = {key.lower(): key for key in reversed(names)} | dict(zip(names, names, strict=True))
            self.target = next((lower[name] for name in (self.usual, *TARGETS) if name in lower), "")
            self._last = names if self.target else ()
        return self

    def check(self) -> None:
        """After the whole file: a column that was asked for must have been there."""
        for what, name in self.asked.items():
            if name and self._seen and name not in self._seen:
                raise unknown("column", name, self._seen, f"type --{what} COLUMN")


class Maker:
    """Makes the stored rows of one file."""

    def __init__(self, task: Task, file: File) -> None:
        said = file.said or {}
        asked = {**task.asked, "target": ""} if task.labelled else task.asked
        self.columns = Columns({what: "" if what in said else name for what, name in asked.items()}, task.usual)
        self._task, self._file, self._said = task, file, said
        self._mask: str | None = None
        self._kinds = {name: COLUMN_TYPES[kind] for name, kind in task.schema.items()}
        self._file_column = next((name for name, kind in task.schema.items() if kind == "file"), "")
        self._keep = Keeper(Path(task.home), task.reference) if self._file_column else None

    @property
    def used(self) -> str:
        """The column that gave the labels."""
        return str(self._said.get("target", "")) if self._task.labelled else self.columns.target

    def row(self, row: Row, number: int) -> Row:
        columns, said = self.columns.look(row), self._said
        content = {name: typed(name, row, kind) for name, kind in self._kinds.items()}
        kept = self._keep(content[self._file_column]) if self._keep else {}
        if kept:
            content[self._file_column] = kept["uri_hash"]
        stored: Row = {free: row[key] for key, free in _others(tuple(row), self._taken(columns))}
        label = self._label(row) if self._task.labelled else row.get(columns.target)
        group = said["group"] if "group" in said else row.get(columns.group)
        stored["label"] = None if absent(label) else as_text(label)
        stored["group"] = "" if absent(group) else as_text(group)
        split = self._task.split or named(said.get("split") or row.get("split"))
        where = {"source": self._file.source, "row": number, "split": split}
        hashes = _hashes(_hashed(content), _hashed(stored))
        content.pop(self._file_column, None)
        return {**hashes, **stored, **content, **kept, **where}

    def _label(self, row: Row) -> Any:
        """What the label file says of this file; a mask is read once."""
        if "mask" in self._said and self._mask is None:
            self._mask = maskfiles.read(self._said["mask"], row)
        return self._mask or self._said.get("label")

    def _taken(self, columns: Columns) -> frozenset[str]:
        """The columns that are stored under other names, or as content."""
        target = () if self._task.labelled else (columns.target,)
        return _own((*self._kinds, *target), columns.group)


@functools.lru_cache(maxsize=256)
def _own(names: tuple[str, ...], group: str) -> frozenset[str]:
    return frozenset((*names, "split", *({"group"} & {group})))


@functools.lru_cache(maxsize=256)
def _others(names: tuple[str, ...], taken: frozenset[str]) -> list[tuple[str, str]]:
    """The columns that are not taken, each with the name it is stored under."""
    free: dict[str, str] = {}
    for name in (name for name in names if name not in taken):
        free[_free(name, dict.fromkeys(names), free)] = name
    return [(name, new) for new, name in free.items()]


def typed(name: str, row: Row, kind: type) -> Any:
    """A content value as its column holds it, so that what is read back has the same hash."""
    try:
        value = row[name]
    except KeyError:
        raise SpeciateError(f"a row has no {name!r}", "the format promises this column", "mend the reader") from None
    if value is None or type(value) is kind:
        return value
    value = value.item() if hasattr(value, "item") and kind is not bytes else value  # a number of NumPy's
    if kind is str and isinstance(value, int | float | str):
        return str(value)
    if kind is float and isinstance(value, int):
        return float(value)
    if isinstance(value, kind):
        return kind(value)
    if kind is bytes and isinstance(value, bytearray | memoryview):
        return bytes(value)
    exists = f"the reader gives a {type(value).__name__}"
    raise SpeciateError(f"column {name!r} holds {kind.__name__}", exists, "mend the reader")


def row_hash(values: Mapping[str, Any]) -> str:
    """128 bits of what the values say; bytes count as bytes."""
    return _hash(_hashed(values))


def _hashed(values: Mapping[str, Any]) -> Parts:
    """What of each value goes into a hash: its name and size, and itself."""
    found = {}
    for name, value in values.items():
        data = value if isinstance(value, bytes) else _json(value).encode("utf-8", "surrogatepass")
        found[name] = (f"{name}:{type(value) is bytes}:{len(data)}:".encode(), data)
    return found


def _hashes(content: Parts, others: Parts) -> dict[str, str]:
    """Of the content, and of that with all the others: content is long, so it is read once."""
    row_id = _hash(content)
    return {"id": row_id, "digest": _hash(others | _hashed({"id": row_id}))}


def _hash(parts: Parts) -> str:
    return hash_of(*(part for name in sorted(parts) for part in parts[name]))


def schema_of(reader: Reader) -> dict[str, pa.DataType]:
    """The columns that every dataset of this format has."""
    own = {name: pa.int64() if name == "row" else pa.string() for name in STORE_COLUMNS}
    schema = reader.schema()
    files = references.COLUMNS if "file" in schema.values() else {}
    return own | {name: TYPES[kind] for name, kind in schema.items() if kind != "file"} | files


def as_shown(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Labels and how often they occur; those that look alike to a person are counted together."""
    found: Counter[str] = Counter()
    for label, count in counts:
        found[shown(label)] += count
    return dict(found)


def printable(text: str) -> str:
    """Text with a path in it as it can be stored and printed, whatever bytes the path is made of."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def reason_of(error: Exception) -> str:
    """An error on one line."""
    if isinstance(error, SpeciateError):
        text = "; ".join(part for part in (error.asked, error.exists, error.do) if part)
    else:
        text = f"{type(error).__name__}: {error}"
    return printable(" ".join(text.split()))


def absent(value: Any) -> bool:
    """Whether a cell says nothing; NaN is how tables of numbers say it."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _free(name: str, *others: Mapping[str, Any]) -> str:
    """A name that is not ours, nor another column's, nor Lance's (dots nest, backticks quote, some begin with _)."""
    free = re.sub("[.`]", "_", name).lstrip("_") or "column"
    while free in STORE_COLUMNS or free == "near" or (free != name and any(free in other for other in others)):
        free += "_"
    return free


def as_text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else _json(value)


def refer(stored: Row, blobs: list[str], file: File, root: str) -> Row:
    """A row that says where its bytes lie instead of holding them: those that are the file itself."""
    data = file.path.read_bytes()
    same = [name for name in blobs if stored[name] == data]
    if not same:
        exists = "what is stored of it is not the file itself"
        raise SpeciateError(f"{file.path.name} cannot be stored as a reference", exists, "leave out --reference")
    return stored | references.reference(file.path, data, Path(root)) | dict.fromkeys(same)
