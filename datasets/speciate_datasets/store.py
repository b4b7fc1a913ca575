"""The store: every Lance call of Speciate, made safe against the three things Lance leaves to its caller.

- one writer a table, through a file lock, because writers at full speed starve each other;
- new files and their folders are fsynced before a commit is acknowledged, because Lance never does;
- the key's metadata is always set, because concurrent merges duplicate keys without it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import lancedb  # noqa: TID251  (this is the one module that may)
import pyarrow as pa
from filelock import FileLock, Timeout

from speciate import Row, SpeciateError, UsageError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
KEY = pa.field("id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"})
LOCK_SECONDS = 600


class Store:
    """Tables by name in one LanceDB database."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[str, FileLock] = {}

    @cached_property
    def _db(self) -> Any:
        options = {"new_table_enable_stable_row_ids": "true"}
        return lancedb.connect(str(self.root / "lance"), storage_options=options)

    def exists(self, name: str) -> bool:
        """Whether it was ever committed: a writer killed while it made the table leaves a folder without a manifest."""
        return any((self.root / "lance" / f"{name}.lance" / "_versions").glob("*.manifest"))

    def names(self) -> list[str]:
        names = (folder.name.removesuffix(".lance") for folder in (self.root / "lance").glob("*.lance"))
        return sorted(name for name in names if self.exists(name))

    def open(self, name: str, version: int | None = None) -> Any:
        """A table handle, pinned when a version is given."""
        table = self._db.open_table(name)
        if version is not None:
            table.checkout(version)
        return table

    def scan(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> pa.Table:
        query = self.open(name, version).search()
        return (query.select(list(columns)) if columns else query).limit(None).to_arrow()

    def schema(self, name: str, version: int | None = None) -> pa.Schema:
        return self.open(name, version).schema

    def version(self, name: str) -> int:
        return int(self.open(name).version)

    def count(self, name: str, version: int | None = None) -> int:
        return int(self.open(name, version).count_rows())

    def tag(self, name: str, version: int, tag: str) -> None:
        table = self.open(name)
        if tag not in table.tags.list():
            with self.commit(name):
                table.tags.create(tag, version)

    def merge(self, name: str, rows: pa.Table, insert: bool) -> None:
        """Replace the given columns of the rows that have these ids; with `insert`, add the rows that are not there."""
        with self.commit(name):
            table = self._table(name, rows.schema)
            known = set(table.schema.names)
            fresh = [field for field in rows.schema if field.name not in known]
            if fresh:
                table.add_columns(fresh)
            merge = table.merge_insert("id").when_matched_update_all()
            if insert:
                merge = merge.when_not_matched_insert_all()
                rows = _complete(rows, table.schema)
            merge.execute(rows)

    def append(self, name: str, rows: pa.Table) -> None:
        with self.commit(name):
            self._table(name, rows.schema).add(rows)

    def _table(self, name: str, schema: pa.Schema) -> Any:
        return self._db.open_table(name) if self.exists(name) else self._db.create_table(name, schema=schema)

    @contextmanager
    def commit(self, name: str) -> Iterator[None]:
        """One write, on the disk when this ends."""
        folder = self.root / "lance" / f"{name}.lance"
        with self.lock(name):
            before = _files(folder)
            try:
                yield
            except (OSError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "(os error" not in str(error):
                    raise
                do = "free some disk space or mend the permissions"
                raise SpeciateError(f"cannot write {folder}", _said(error), do) from error
            fsync(folder, _files(folder) - before)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One writer at a time, whatever process it is in; a writer may take its own lock again."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with self._locks.setdefault(name, FileLock(folder / f"{name}.lock", timeout=LOCK_SECONDS)):
                yield
        except Timeout as error:
            asked = f"waited {LOCK_SECONDS} s to write {name}"
            raise SpeciateError(asked, "another process is writing it", "try again when it has finished") from error


def check_name(kind: str, name: str) -> str:
    """A name that is safe as a folder anywhere."""
    if not NAME.fullmatch(name):
        exists = "names are letters, digits, - and _, at most 64, and start with a letter or digit"
        raise UsageError(f"{name!r} cannot name a {kind}", exists, "choose another name")
    return name


def fsync(folder: Path, names: set[str]) -> None:
    """Put files and the folders that hold them on the disk."""
    paths = [folder / name for name in names]
    folders = {parent for path in paths for parent in path.parents if parent.is_relative_to(folder)}
    for path in [*paths, *sorted(folders, reverse=True), folder.parent, folder.parent.parent]:
        sync(path)


def sync(path: Path) -> None:
    """Put one file, or the names in one folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        json.dump(value, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync(path.parent)


def _said(error: Exception) -> str:
    """What the system said, without the place in Lance's source."""
    found = re.search(r"\b[A-Z][a-z ]+ \(os error \d+\)", str(error))
    return found.group() if found else str(error)


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()


def _complete(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns in its order, null where rows do not have them."""
    there = dict(zip(rows.column_names, rows.columns, strict=True))
    columns = [there[f.name] if f.name in there else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)


def to_rows(table: pa.Table) -> list[Row]:
    rows: list[Row] = table.to_pylist()
    return rows
