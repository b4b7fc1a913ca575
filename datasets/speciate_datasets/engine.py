"""The engine: what a workspace asks of its store, in the workspace's own words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from speciate import Format, Near, Row, SpeciateError, UsageError
from speciate.catalog import Catalog
from speciate.contracts import Added, Progress, Reader
from speciate.errors import unknown
from speciate.files import check_name, sync, write_json
from speciate_datasets import contents
from speciate_datasets.dataset import LanceDataset
from speciate_datasets.forget import forget_files, forget_rows
from speciate_datasets.fsck import check
from speciate_datasets.ingest import Asked, Ingest, content_hash, label_counts
from speciate_datasets.splits import named
from speciate_datasets.spool import to_arrow
from speciate_datasets.store import Store
from speciate_datasets.tidy import tidy
from speciate_datasets.versions import alters, diff, edited, known, log, resolve, schema_hash, table_of, valid, who


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
        labels: str = "",
        reference: bool = False,
        jobs: int = 0,
    ) -> Added:
        table = table_of(check_name("dataset", name))
        usual = self._last(name) or {}
        asked = Asked(target, group, named(split, UsageError), labels, reference, jobs)
        ingest = Ingest(self.store, table, format, reader, options, asked, usual)
        ingest.run(files, progress)
        read = ingest.added + ingest.updated + ingest.unchanged + ingest.duplicates
        if not self.store.exists(table) or (ingest.quarantined and not read):
            reasons = "; ".join(f"{q.path}: {q.reason}" for q in ingest.quarantined[:3])
            raise SpeciateError(f"nothing was added to {name!r}", reasons or "the files hold no rows", "mend the files")
        with self.store.lock(table):  # two who add at once name their versions in the order the versions have
            return self._record(ingest, name, table, format.name, options, group or usual.get("group", ""))

    def _last(self, name: str) -> Row | None:
        records = valid(self.store, name, [row for row in self.rows("datasets") if row["name"] == name])
        return records[-1] if records else None

    def _record(
        self, ingest: Ingest, name: str, table: str, format: str, options: Mapping[str, Any], group: str
    ) -> Added:
        """What was added, and the row that says a version of a dataset is there."""
        last = self._last(name)
        labels, splits = label_counts(self.store, table)
        content = content_hash(self.store, table)  # feature commits make Lance versions too, which hold the same rows
        same = last is not None and last.get("content") == content and not self.store.damage(table, last["version"])
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
            **ingest.gaps.said({one.path for one in ingest.quarantined}),
        )
        if not same:
            said = {"format": format, "options": dict(options), "target": added.target, "group": group}
            said["columns"] = list(ingest.reader.schema())
            self._next(name, "add", f"added {added.added}, updated {added.updated}", said)
        return added

    def _next(self, name: str, kind: str, why: str, said: Mapping[str, Any]) -> int:
        """The row of the version that the table now has. The table's lock is held."""
        table = table_of(name)
        labels, splits = label_counts(self.store, table)
        row = {
            "name": name,
            "version": self.store.version(table),
            "rows": self.store.count(table),
            **{key: said[key] for key in ("format", "options", "target", "group", "columns") if key in said},
            "labels": len(labels),
            "splits": dict(splits),
            "content": content_hash(self.store, table),
            "schema": schema_hash(self.store.schema(table)),
            "kind": kind,
            "why": why,
            "who": who(),
        }
        self.append("datasets", [row])
        return int(row["version"])

    # --- versions -------------------------------------------------------------------------------------------------

    def _records(self, name: str) -> list[Row]:
        rows = self.rows("datasets")
        records = valid(self.store, name, [row for row in rows if row["name"] == name])
        if not records:
            raise unknown("dataset", name, {row["name"] for row in rows}, f"type `speciate add {name} FILES...`")
        return records

    def dataset(self, name: str, version: int | str | None = None) -> LanceDataset:
        """A version by number or tag; without one, the newest that is intact, with a word about the others."""
        records = self._records(name)
        record = resolve(self.store, name, records, version)
        if version in (None, "") and record is not records[-1]:
            said = f"version {records[-1]['version']} of {name} is damaged; this is version {record['version']}"
            print(said, file=sys.stderr)  # noqa: T201
        return LanceDataset(self.store, name, record["version"], record)

    def resolve(self, name: str, at: str = "") -> int:
        """The version that a number, a tag or nothing means."""
        return int(resolve(self.store, name, self._records(name), at)["version"])

    def log(self, name: str) -> list[Row]:
        return log(self.store, name, self._records(name))

    def diff(self, name: str, a: int | str, b: int | str = "") -> dict[str, Any]:
        records = self._records(name)
        one, other = (int(resolve(self.store, name, records, at)["version"]) for at in (a, b))
        return diff(self.store, name, one, other)

    def tag(self, name: str, version: int, tag: str) -> None:
        """Keep a version of a dataset for good."""
        if check_name("tag", tag).isdigit():
            raise UsageError(f"{tag!r} cannot name a tag", "a number is a version", "choose another name")
        self.store.tag(table_of(name), self.resolve(name, str(version)), tag)

    def edit(self, name: str, kind: str, rows: pa.Table | None = None, drop: Sequence[str] = (), why: str = "") -> int:
        """A person's change: new values by id, rows taken out. The version that has it, be it the last one."""
        self._records(name)
        table = table_of(name)
        with self.store.lock(table):
            record = self._records(name)[-1]
            last, now = record["version"], self.store.version(table)  # a killed edit left its rows in the second alone
            changed = edited(self.store, name, rows, record.get("columns", [])) if rows is not None else None
            known(self.store, name, drop, last)
            altered = changed is not None and any(alters(self.store, name, changed, at) for at in {last, now})
            if not altered and not drop:
                print(f"nothing changes: this is version {last} of {name}", file=sys.stderr)  # noqa: T201
                return int(last)
            if altered:
                self.store.merge(table, changed, insert=False)
            if drop:
                self.store.delete(table, list(drop))
            return self._next(name, kind, why, record)

    # --- upkeep ---------------------------------------------------------------------------------------------------

    def gc(self, name: str = "", older_than_days: float = 7.0) -> dict[str, Any]:
        """Compact tables and clean their old versions, of one dataset or of everything."""
        own = [table for table in (table_of(name), contents.table_of(name)) if self.store.exists(table)]
        tables = own if name else self.store.names()
        newest = {table_of(row["name"]): row["version"] for row in self.rows("datasets")}
        if name:
            self._records(name)
        done = [
            tidy(self.store, table, older_than_days, [newest[table]] if table in newest else []) for table in tables
        ]
        forgotten = sum(forget_rows(self.store, table) for table in tables if table.startswith("dataset."))
        files = 0 if name else forget_files(self.store, older_than_days)
        change = sum(one["bytes_change"] for one in done) - files
        return {"tables": done, "bytes_change": change, "rows_forgotten": forgotten}

    def fsck(self, name: str = "", version: int | str | None = None) -> dict[str, Any]:
        """Compare every stored byte with its checksum and every row with the hash it is named by."""
        own = [table for table in (table_of(name), contents.table_of(name)) if self.store.exists(table)]
        tables = ["datasets", *own] if name else self.store.names()
        found = [check(self.store, table) for table in tables if not table.startswith("dataset.")]
        records: dict[str, Row] = {}
        with suppress(SpeciateError):  # a damaged log is in `found`
            records = {table_of(row["name"]): row for row in self.rows("datasets")}
        for table in (table for table in tables if table.startswith("dataset.")):
            at = self.resolve(name, str(version)) if version else None
            found.append(check(self.store, table, at, records.get(table, {}).get("columns", [])))
        damaged = [entry for one in found for entry in one.pop("damaged")] + self._stale()
        return {"tables": found, "rows": sum(one["rows"] for one in found), "damaged": damaged}

    def _stale(self) -> list[Row]:
        """Indexes that do not say what their table says."""
        wrong = []
        for path in sorted((self.root / "index").glob("*.json")):
            with suppress(SpeciateError):
                try:
                    same = json.loads(path.read_text(encoding="utf-8")) == self.rows(path.stem)
                except ValueError:
                    same = False
                if not same:
                    what = "is not what its table says; the next write mends it"
                    wrong.append(
                        {"table": path.stem, "file": f"index/{path.name}", "rows": [], "source": "", "what": what}
                    )
        return wrong

    # --- the workspace's own tables -------------------------------------------------------------------------------

    def curate(self, name: str, at: str = "", catalog: Catalog | None = None) -> Any:
        """The lazy Dataset that people filter, search, relabel and export."""
        from speciate_datasets.query import Dataset

        return Dataset(self, name, self.resolve(name, at), catalog=catalog)

    def audit(self, name: str, at: str = "", near: Near | None = None) -> Row:
        from speciate_datasets.audit import audit

        return audit(self.store, name, {"version": self.resolve(name, at)}, near)

    def import_folder(self, folder: str | Path, name: str = "") -> Row:
        from speciate_datasets.export import import_folder

        version = import_folder(self, folder, name)
        return {"dataset": name or next(r["name"] for r in reversed(self.rows("datasets"))), "version": version}

    def append(self, table: str, rows: Sequence[Row]) -> None:
        """Add rows to a table of the workspace, and refresh the index that `list` reads without importing Lance."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        index = self.root / "index" / f"{table}.json"
        with self.store.lock(table):
            dirty = self._mark(index)
            lines = [{"time": now, "row": json.dumps(row, ensure_ascii=False)} for row in rows]
            plain = [{key: value for key, value in row.items() if isinstance(value, str | int | float)} for row in rows]
            there = self.store.schema(table) if self.store.exists(table) else None
            self.store.append(
                table, _plain([{**values, **line} for line, values in zip(lines, plain, strict=True)], there)
            )
            write_json(index, self._rows(table))
            with suppress(OSError):  # all is on the disk: a mark that stays only makes the next reader look
                dirty.unlink()

    def _mark(self, index: Path) -> Path:
        """Say, on the disk, that the index is about to be out of date."""
        dirty = index.with_suffix(".dirty")
        try:
            index.parent.mkdir(exist_ok=True)
            dirty.touch()
            sync(index.parent)
        except OSError as error:
            do = "free some disk space or mend the permissions"
            raise SpeciateError(f"cannot write {dirty}", error.strerror or str(error), do) from error
        return dirty

    def rows(self, table: str) -> list[Row]:
        """The rows of one of the workspace's tables, oldest first; mends the index a killed writer left dirty."""
        if not self.store.exists(table):
            return []
        rows = self._rows(table)
        index = self.root / "index" / f"{table}.json"
        if index.with_suffix(".dirty").exists():
            with suppress(SpeciateError, OSError), self.store.lock(table):  # who may only read goes on
                write_json(index, self._rows(table))
                index.with_suffix(".dirty").unlink(missing_ok=True)
        return rows

    def _rows(self, table: str) -> list[Row]:
        if wrong := self.store.verify(table, self.store.version(table)):
            asked = f"table {table!r} is damaged: {', '.join(wrong[:3])}"
            raise SpeciateError(asked, "what is stored is not what was written", "type `speciate fsck`")
        there = self.store.scan(table, ["time", "row"]).to_pylist()
        return [{**json.loads(line["row"]), "time": line["time"]} for line in there]


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
