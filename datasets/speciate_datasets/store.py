"""The store: every Lance call of Speciate, made safe against what Lance leaves to its caller.

- one writer a table, through a file lock, because writers at full speed starve each other;
- new files and their folders are fsynced, with a checksum (`sums.py`), before a commit is acknowledged, because Lance
  never does; what a killed writer or a power cut left is mended when the table is next opened (`mend.py`);
- the key's metadata is always set, because concurrent merges duplicate keys without it.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from filelock import FileLock, Timeout

from speciate import Row, SpeciateError, UsageError
from speciate_datasets import contents, mend
from speciate_datasets.blobs import field as blob_field
from speciate_datasets.contents import Contents, parted, stored
from speciate_datasets.lance import lancedb, reading
from speciate_datasets.sums import Sums, manifest_of

__all__ = ["BLOB", "KEY", "Store", "to_rows"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
ID = re.compile(r"[0-9a-f]{32}")
KEY = pa.field("id", pa.string(), nullable=False, metadata={b"lance-schema:unenforced-primary-key": b"true"})
BLOB = {b"lance-encoding:blob": b"true"}  # metadata of a large_binary field that makes a blob column of it
LOCK_SECONDS = 600
SCANNED = 65_536  # rows at once
HANDLES = 16  # of tables that are kept open
DELETE_IDS = 2_000  # in one predicate
MEND = "free some disk space or mend the permissions"


class Store:
    """Tables by name in one LanceDB database."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks: dict[str, FileLock] = {}
        self._sums: dict[str, Sums] = {}
        self._handles: dict[tuple[str, int], tuple[tuple[int, int], Any]] = {}  # and which manifest each has read
        self._guard = threading.Lock()

    @cached_property
    def _db(self) -> Any:
        options = {"new_table_enable_stable_row_ids": "true"}
        return lancedb.connect(str(self.root / "lance"), storage_options=options)

    def sums(self, name: str) -> Sums:
        return self._sums.setdefault(name, Sums(self.root, name))

    def exists(self, name: str) -> bool:
        """Whether it was ever committed: a writer killed while it made the table leaves a folder without a manifest."""
        return bool(self.sums(name).versions())

    def names(self) -> list[str]:
        names = (folder.name.removesuffix(".lance") for folder in (self.root / "lance").glob("*.lance"))
        return sorted(name for name in names if self.exists(name))

    def open(self, name: str, version: int | None = None) -> Any:
        """A table handle to read this version with, or the newest; never one that Lance might choke on."""
        self.settle(name)
        sums = self.sums(name)
        newest = next(iter(sums.versions()), None)
        wanted = newest if version is None else version
        for at in {wanted, newest}:
            if at is not None and (why := self.damage(name, at)):
                do = f"type `speciate fsck`, or use another version than {at}"
                raise SpeciateError(f"cannot open version {at} of {name}", why, do)
        return self._db.open_table(name) if wanted is None else self._handle(name, wanted)

    def _handle(self, name: str, version: int) -> Any:
        """The same one as long as the version is the same, with what it has read of the table so far."""
        found = (self.sums(name).folder / manifest_of(version)).stat()
        manifest = found.st_ino, found.st_mtime_ns
        known, table = self._handles.get((name, version), (None, None))
        if known != manifest:
            table = self._db.open_table(name)
            table.checkout(version)
            with self._guard:
                self._handles[name, version] = manifest, table
                for oldest in list(self._handles)[:-HANDLES]:
                    del self._handles[oldest]
        return table

    def damage(self, name: str, version: int) -> str:
        """What keeps a version from being opened, by checksum, so that Lance never parses a damaged list of rows."""
        sums = self.sums(name)
        if not (sums.folder / manifest_of(version)).exists():
            return "it is not there any more"
        wrong = [file for file in (manifest_of(version), *sums.deletions(version)) if not sums.right(file)]
        return f"damaged: {', '.join(wrong)}" if wrong else ""

    def verify(self, name: str, version: int) -> list[str]:
        """The files of a version, but for blobs, that are not what was written; each is read once in a process."""
        sums = self.sums(name)
        return sorted(file for file in sums.needs(version) if not sums.right(file))

    def settle(self, name: str) -> None:
        """What a killed writer, a power cut or a bad disk left; while a writer is alive it is the writer's."""
        sums = self.sums(name)
        newest = next(iter(sums.versions()), None)
        if newest is None or (manifest_of(newest) in sums.known() and sums.right(manifest_of(newest))):
            return
        with suppress(Timeout, OSError), self._lock(name).acquire(timeout=0):
            if versions := mend.broken(sums):
                mend.aside(self.root, name, sums, versions)
            sums.vouch()

    def scan(self, name: str, columns: Sequence[str] | None = None, version: int | None = None) -> pa.Table:
        query = self.open(name, version).search()
        with reading(name):
            query = (query.select(list(columns)) if columns else query).limit(None)
            return query.to_batches(SCANNED).read_all()  # small batches are put together sooner than large ones

    def raw(self, name: str) -> Any:
        """Lance's own table at its newest version, for who holds the lock."""
        return self._db.open_table(name)

    def schema(self, name: str, version: int | None = None) -> pa.Schema:
        """The columns of a table, and those of large content that lie beside it."""
        there = self.open(name, version).schema
        return pa.schema([*there, *map(blob_field, self.contents(name).columns)])

    def contents(self, name: str) -> Contents:
        """The large content of a dataset's rows, as it is now."""
        return Contents(self, name)

    def version(self, name: str) -> int:
        return int(self.open(name).version)

    def count(self, name: str, version: int | None = None) -> int:
        return int(self.open(name, version).count_rows())

    def tags(self, name: str) -> dict[str, int]:
        return {tag: int(found["version"]) for tag, found in self.open(name).tags.list().items()}

    def tag(self, name: str, version: int, tag: str) -> None:
        """A tag never moves."""
        with self.lock(name):
            there = self.tags(name).get(tag)
            if there is None:
                with self.commit(name):
                    self._db.open_table(name).tags.create(tag, version)
            elif there != version:
                exists = f"it is version {there}, and tags never move"
                raise UsageError(f"tag {tag!r} is taken", exists, "choose another tag")

    def insert(self, name: str, rows: pa.Table) -> None:
        """Rows whose ids are not there, as who holds the lock has seen: a merge would look once more, with all of them
        in memory. Their large content is on the disk before they are."""
        rows, content = parted(rows)
        if content is not None:
            self._keep(contents.table_of(name), content)
        with self.commit(name, rows.nbytes):
            if not self._created(name, rows):
                table = self._widened(name, rows.schema)
                table.add(_complete(rows, table.schema), on_bad_vectors="null")  # a new row has no vector yet

    def merge(self, name: str, rows: pa.Table, insert: bool) -> None:
        """Replace the given columns of the rows that have these ids; with `insert`, add the rows that are not there.

        Large content that is there already stays, since an id is a hash of it.
        """
        rows, content = parted(rows)
        if content is not None and insert:
            self._keep(contents.table_of(name), content)
        with self.commit(name, rows.nbytes):
            if insert and self._created(name, rows):
                return
            table = self._widened(name, rows.schema)
            merge = table.merge_insert("id").when_matched_update_all()
            if insert:
                merge = merge.when_not_matched_insert_all()
                rows = _complete(rows, table.schema)
            merge.execute(rows, on_bad_vectors="null")

    def _widened(self, name: str, schema: pa.Schema) -> Any:
        """The table, with all columns of the schema."""
        table = self._db.open_table(name)
        known = set(table.schema.names)
        fresh = [field for field in schema if field.name not in known]
        if fresh:
            table.add_columns(pa.schema(fresh))
        return table

    def _keep(self, name: str, content: pa.Table) -> None:
        """Content that is not there yet: merging would read all that comes once more."""
        with self.commit(name, content.nbytes):
            if not self.exists(name):
                self._db.create_table(name, schema=stored(content.schema))
            table = self._db.open_table(name)
            there = table.search().select(["id"]).limit(None).to_arrow()["id"].combine_chunks()
            fresh = pc.invert(pc.is_in(content["id"], value_set=there))
            content = content if pc.all(fresh).as_py() else content.filter(fresh)
            if content.num_rows:
                table.add(content)

    def append(self, name: str, rows: pa.Table) -> None:
        with self.commit(name, rows.nbytes):
            if not self._created(name, rows):
                self._db.open_table(name).add(rows)

    def delete(self, name: str, ids: Sequence[str]) -> None:
        """The rows of these ids, which must be hashes: nothing else may come near a predicate."""
        if strange := [word for word in ids if not ID.fullmatch(word)]:
            raise UsageError(f"{strange[0]!r} is no row's id", "ids are 32 hex digits", "take them from the dataset")
        with self.commit(name):
            table = self._db.open_table(name)
            for start in range(0, len(ids), DELETE_IDS):
                words = ", ".join(f"'{word}'" for word in ids[start : start + DELETE_IDS])
                table.delete(f"id IN ({words})")

    def _created(self, name: str, rows: pa.Table) -> bool:
        """Make a table that is not there, of these rows, in one commit: its first version has them all."""
        if self.exists(name):
            return False
        self._db.create_table(name, data=rows)
        return True

    @contextmanager
    def commit(self, name: str, size: int = 0) -> Iterator[None]:
        """One write of about so many bytes, on the disk when this ends."""
        folder = self.root / "lance" / f"{name}.lance"
        with self.lock(name):
            self.settle(name)
            sums = self.sums(name)
            newest = next(iter(sums.versions()), 0)
            if manifest_of(newest + 1) in sums.known():  # a version that was moved aside: its number is given again
                sums.prune()
            try:
                yield
                sums.vouch()
            except (OSError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and "(os error" not in str(error):
                    raise
                raise SpeciateError(f"cannot write {folder}", f"{_said(error)}{self._room(size)}", MEND) from error

    def _room(self, size: int) -> str:
        free = shutil.disk_usage(self.root).free if self.root.exists() else 0
        return f"; {size:,} bytes to write, {free:,} bytes free" if size else f"; {free:,} bytes free"

    def _lock(self, name: str) -> FileLock:
        folder = self.root / "locks"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpeciateError(f"cannot write {folder}", _said(error), MEND) from error
        return self._locks.setdefault(name, FileLock(folder / f"{name}.lock"))

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """One writer at a time, whatever process it is in; a writer may take its own lock again."""
        lock = self._lock(name)
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout as error:
            asked = f"waited {LOCK_SECONDS} s to write {name}"
            raise SpeciateError(asked, "another process is writing it", "try again when it has finished") from error
        except OSError as error:
            raise SpeciateError(f"cannot lock {lock.lock_file}", _said(error), MEND) from error
        try:
            yield
        finally:
            lock.release()


def _said(error: Exception) -> str:
    """What the system said, without the place in Lance's source."""
    found = re.search(r"\b[A-Z][a-z ]+ \(os error \d+\)", str(error))
    return found.group() if found else str(error)


def _complete(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table's columns in its order, null where rows do not have them."""
    there = dict(zip(rows.column_names, rows.columns, strict=True))
    columns = [there[f.name] if f.name in there else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)


def to_rows(table: pa.Table) -> list[Row]:
    rows: list[Row] = table.to_pylist()
    return rows
