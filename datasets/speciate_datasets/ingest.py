"""Ingest: files in, rows merged by content hash. Adding the same files twice changes nothing; a damaged file is
quarantined with its reason and the rest goes on; a killed add is repeated and completes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from speciate import Format, UsageError
from speciate.catalog import options_of
from speciate.contracts import Progress, Quarantined, Reader
from speciate_datasets.hashes import Hash
from speciate_datasets.keep import sweep
from speciate_datasets.known import Known, Mask
from speciate_datasets.labels import FOLDERS, Gaps, Labels
from speciate_datasets.lance import LIBC
from speciate_datasets.names import Names, source_names
from speciate_datasets.pool import Pool, Shared, jobs_here
from speciate_datasets.reading import Chunk, Local, Outcome, chunks_of
from speciate_datasets.references import marked
from speciate_datasets.splits import Splits
from speciate_datasets.spool import Types, fitted, holds, wider
from speciate_datasets.store import BLOB, KEY, Store
from speciate_datasets.stored import TYPES, File, Task, as_shown, printable, schema_of
from speciate_datasets.together import READER, Keys, aliases, gathered, numbered

COMMIT_ROWS, COMMIT_BYTES = 50_000, 48 << 20
ALONE_BYTES = 16 << 20  # less than this is read sooner in this process than by others that have to start
SMALL_BYTES = 1 << 20  # a file, on average: so short that it pays to read some of them here


@dataclass(frozen=True)
class Asked:
    """What a person asked of one add."""

    target: str = ""
    group: str = ""
    split: str = ""
    labels: str = ""  # a label file, or "folders"
    reference: bool = False
    jobs: int = 0  # reading processes; 0: as many as there are cores, up to four


@dataclass
class Ingest:
    """One `add`: what it was asked, and what it has counted so far."""

    store: Store
    table: str
    format: Format
    reader: Reader
    options: Mapping[str, Any]
    asked: Asked
    usual: Mapping[str, Any]  # target and group of the dataset so far, where a file has them
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    used: str = ""  # the column that gave the labels
    quarantined: list[Quarantined] = field(default_factory=list)
    gaps: Gaps = field(default_factory=Gaps)
    _pending: list[pa.Table] = field(default_factory=list)
    _splits: Splits | None = None
    _kept: Types | None = None  # the types of the table's columns
    _types: Types = field(default_factory=dict)  # of the columns it will get

    def run(self, files: Sequence[Path], progress: Progress) -> None:
        self._known = Known(self.store, self.table)
        sweep(self.store.root.absolute())
        listed = self._listed(files)
        source = self._source(listed)
        try:
            with progress.track("add", sum(file.size for file in listed)) as tick:
                for chunk in source.run(chunks_of(listed)):
                    self._take(chunk, source)
                    tick(chunk.size)
                self._commit()
        finally:
            source.close()
        del self._known  # some 300 bytes a row, which what follows may need
        self._splits = None

    def _listed(self, files: Sequence[Path]) -> list[File]:
        """The files, those that are one thing together, with what a label file says of each."""
        labels = Labels(self.asked.labels, self.asked.target, self.asked.group) if self.asked.labels else None
        files = labels.without_masks(files) if labels else files
        real, names = source_names(files), Names(self.format, self.options)
        listed = [File(path, names.file(real[path]), path.stat().st_size) for path in files]
        listed = self._gathered(listed) if self.format.together else listed
        if not labels or not listed:
            return listed
        others = aliases(listed)
        if names.hidden and self.asked.labels != FOLDERS:  # who looks at a dataset knows its files by their pseudonyms
            others = {file.path: [*others.get(file.path, ()), Path(file.source)] for file in listed}
        said = labels.join([file.path for file in listed], real, others)
        self.gaps = labels.gaps
        return [replace(file, said=names.said(said.get(file.path))) for file in listed]

    def _gathered(self, files: list[File]) -> list[File]:
        """Files that are one thing, by the keys that the format gives them."""
        nothing = {"target": "", "group": ""}
        task = Task(READER, self.format.together, {"key": "string"}, nothing, nothing)
        source = self._reading(task, Keys(self.format.together), files)
        keys: dict[str, str] = {}
        try:
            for chunk in source.run(chunks_of(numbered(files))):
                self._aside(chunk.refused)
                tables = (chunk.outcome or Outcome()).tables
                for table in tables:
                    keys.update(zip(table["source"].to_pylist(), table["key"].to_pylist(), strict=True))
                tables.close()
        finally:
            source.close()
        return gathered(files, keys)

    def _aside(self, refused: Sequence[tuple[File, str]]) -> None:
        for file, why in refused:
            self.quarantined += [Quarantined(printable(str(path)), why) for path in file.parts or (file.path,)]

    def _source(self, files: Sequence[File]) -> Local:
        """Who reads: other processes, unless the reader is safe and the files are few."""
        schema = dict(self.reader.schema())
        if self.asked.reference and not {"blob", "file"} & set(schema.values()):
            exists = f"format {self.format.name!r} has no column of large bytes to refer to"
            raise UsageError("there is nothing to reference", exists, "leave out --reference")
        if self.asked.reference and Names(self.format, self.options).hidden:
            exists = f"format {self.format.name!r} stores no names of files, because they may tell who somebody is"
            raise UsageError("a reference would store where files lie", exists, "leave out --reference")
        task = Task(
            reader=self.format.reader,
            options=options_of(self.format, self.options),
            schema=schema,
            asked={"target": self.asked.target, "group": self.asked.group},
            usual={name: self.usual.get(name, "") for name in ("target", "group")},
            split=self.asked.split,
            near=self.format.near,
            labelled=bool(self.asked.labels),
            home=str(self.store.root.absolute()),
            reference=self.asked.reference,
            together=bool(self.format.together),
        )
        return self._reading(task, self.reader, files)

    def _reading(self, task: Task, reader: Reader, files: Sequence[File]) -> Local:
        jobs = self.asked.jobs or jobs_here()
        size, folder = sum(file.size for file in files), self.store.root.absolute()
        if self.format.sandbox:
            return Pool(task, folder, jobs)
        if size <= ALONE_BYTES or len(files) == 1 or jobs == 1:
            return Local(task, reader, folder)
        return Shared(task, reader, folder, jobs) if size < len(files) * SMALL_BYTES else Pool(task, folder, jobs)

    def _take(self, chunk: Chunk, source: Local) -> None:
        """A chunk that was read: its rows wait for the next commit."""
        outcome = chunk.outcome or Outcome()
        if outcome.error is not None:
            raise outcome.error
        try:
            trouble = self._settle(outcome.types)
            if (trouble or outcome.apart) and len(chunk.files) > 1:
                source.again(chunk)
                chunk.size = 0
                refused = [(file, why) for file, why in chunk.refused if file not in chunk.files]
            else:
                refused = chunk.refused + ([(chunk.files[0], trouble)] if trouble else [])
            self._aside(refused)
            if not trouble and not outcome.apart:
                self.quarantined += [Quarantined(path, why) for path, why in outcome.aside]
                self.used = self.used or outcome.used
                self._keep(outcome)
        finally:
            outcome.tables.close()

    def _keep(self, outcome: Outcome) -> None:
        for table in outcome.tables:
            self._pending += [table.slice(at, COMMIT_ROWS) for at in range(0, table.num_rows, COMMIT_ROWS)]
            rows, size = (sum(getattr(part, what) for part in self._pending) for what in ("num_rows", "nbytes"))
            if rows >= COMMIT_ROWS or size >= COMMIT_BYTES:
                self._commit()

    def _settle(self, found: Types) -> str:
        """The types of the columns: those of the table, or for new ones what holds all files of this add so far.
        What is wrong with those that were found, if anything is."""
        if self._kept is None:
            self._kept = self._there() | schema_of(self.reader)
        for name, kind in found.items():
            if name in self._kept and not holds(self._kept[name], kind):
                asked = f"column {name!r} holds {self._kept[name]} in this dataset"
                return f"{asked}; in this file it holds {kind}; mend its values, or rename it"
        own = {name: kind for name, kind in found.items() if name not in self._kept}
        self._types |= {name: wider(self._types.get(name, pa.null()), kind) for name, kind in own.items()}
        return ""

    def _there(self) -> Types:
        """The columns of the table."""
        return {f.name: f.type for f in self.store.schema(self.table)} if self.store.exists(self.table) else {}

    def _commit(self) -> None:
        """Put what is pending in the table, under its lock: nobody else decides splits meanwhile."""
        if not self._pending:
            return
        rows, self._pending = self._joined(), []
        with self.store.lock(self.table):
            if self._known.refresh() or self._splits is None:
                self._splits = self._placed()
            found = self._known.match(rows)
            fresh, changed = _of(rows, found.fresh), _of(rows, found.changed)
            self.duplicates += int(found.again.sum())
            self.added, self.updated = self.added + fresh.num_rows, self.updated + changed.num_rows
            self.unchanged += rows.num_rows - fresh.num_rows - changed.num_rows - int(found.again.sum())
            if fresh.num_rows:
                fresh = _with(fresh, "split", self._splits.assign(_placing(fresh)))
                self.store.insert(self.table, fresh)
                self._known.extend(fresh)
            if changed.num_rows:  # columns they do not come with stay as they are, and so do their vectors
                changed = _with(changed, "split", found.splits.filter(pa.array(found.changed)))
                self.store.merge(self.table, changed, insert=False)
            if fresh.num_rows or changed.num_rows:
                self._known.settle(found.places[found.changed], changed["digest"])
                self._kept = None
        del rows, fresh, changed
        _give_back()

    def _placed(self) -> Splits:
        """Splits that know the table's rows."""
        splits = Splits(self.format.near)
        if self.store.exists(self.table):
            near = ["near"] if "near" in self.store.schema(self.table).names else []
            splits.load(self.store.scan(self.table, ["id", "label", "group", "split", *near]))
        return splits

    def _joined(self) -> pa.Table:
        """The pending rows as one table of the columns they have, in the dataset's types."""
        fixed = schema_of(self.reader)
        types = {key: pa.string() if pa.types.is_null(kind) else kind for key, kind in self._types.items()}
        kinds = types | self._there() | fixed
        names = dict.fromkeys([*fixed, *(name for table in self._pending for name in table.column_names)])
        content = self.reader.schema()
        marks = dict.fromkeys((name for name, kind in content.items() if kind == "blob"), BLOB)
        if file := next((name for name, kind in content.items() if kind == "file"), ""):
            marks["uri"] = marked(file)
        schema = pa.schema([KEY, *(pa.field(n, kinds[n], metadata=marks.get(n)) for n in names if n != "id")])
        rows = pa.concat_tables([_shaped(table, schema) for table in self._pending])
        return pa.table([c if c.type == TYPES["blob"] else c.combine_chunks() for c in rows.columns], schema=schema)


def _give_back() -> None:
    """Arrow and the C library keep what was freed, for later. Commits are rare and large, so it goes back."""
    pa.default_memory_pool().release_unused()
    if hasattr(LIBC, "malloc_trim"):
        LIBC.malloc_trim(0)


def _shaped(table: pa.Table, schema: pa.Schema) -> pa.Table:
    there = set(table.column_names)
    columns = [
        fitted(table[f.name], f.name, f.type) if f.name in there else pa.nulls(table.num_rows, f.type) for f in schema
    ]
    return pa.table(columns, schema=schema)


def _of(table: pa.Table, kept: Mask) -> pa.Table:
    return table if kept.all() else table.filter(pa.array(kept))


def _with(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values)


def _placing(table: pa.Table) -> pa.Table:
    """What decides a row's split."""
    return table.select([name for name in ("id", "label", "group", "split", "near") if name in table.column_names])


def label_counts(store: Store, table: str, version: int | None = None) -> tuple[dict[str, int], dict[str, int]]:
    """How often each label and each split occurs."""
    there = store.scan(table, ["label", "split"], version)
    found, splits = (_counts(there[name]) for name in ("label", "split"))
    labels = as_shown(found.items())
    return dict(sorted(labels.items(), key=lambda i: -i[1])), dict(sorted(splits.items()))


def _counts(column: pa.ChunkedArray) -> Counter[str]:
    """Each value and how often it occurs, in the order they come."""
    return Counter({row["values"]: row["counts"] for row in pc.value_counts(column.drop_null()).to_pylist()})


def content_hash(store: Store, table: str) -> str:
    """One hash of all that the rows say, whatever order they lie in."""
    there = store.scan(table, ["id", "digest"]).sort_by("id")
    state = Hash()
    for batch in there.select(["digest"]).to_batches(1 << 16):
        state.update("".join(batch["digest"].to_pylist()).encode())
    return str(state)
