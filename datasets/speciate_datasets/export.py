"""Files out and datasets in: one Parquet or JSONL file of any rows, and one portable folder of a whole version.

The folder has Parquet files of rows with the bytes of large content, and `manifest.json`: what the dataset is, how it
came to be, and a hash of each file. Import checks them all, and that the rows say what they said: their content hash.
Vectors are left out; they are computed again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from speciate import Row, SpeciateError, UsageError
from speciate.files import check_name, new_folder, read_json, write_json
from speciate_datasets import blobs, references
from speciate_datasets.attached import attach, detach, pointed
from speciate_datasets.ingest import content_hash
from speciate_datasets.scan import Scan
from speciate_datasets.store import BLOB, KEY

__all__ = ["export", "import_folder", "jsonl", "parquet"]

MANIFEST, FORMAT = "manifest.json", 1
FILE = re.compile(r"rows-\d{5}\.parquet")
RECORD = {"name", "version", "content", "format", "options"}
FILE_BYTES = 256 << 20


def parquet(path: Path, parts: Iterator[pa.Table], schema: pa.Schema | None) -> Path:
    """One Parquet file; without a schema the first part gives it, and the others must fit."""
    first = next(parts, None)
    if schema is None:
        schema = pa.schema([]) if first is None else _without_null(first.schema)
    with written(path) as file, pq.ParquetWriter(file, schema) as writer:
        for part in [] if first is None else _chain(first, parts):
            writer.write_table(_fitted(part, schema))
    return path


def jsonl(path: Path, rows: Iterable[Row]) -> Path:
    with written(path) as file:
        for row in rows:
            file.write(json.dumps({k: _plain(v) for k, v in row.items()}, ensure_ascii=False).encode() + b"\n")
    return path


def export(engine: Any, scan: Scan, name: str, folder: Path) -> Path:
    """A whole version of a dataset as a folder, which is there only once it is whole."""
    if folder.exists():
        raise UsageError(f"{folder} is there already", "an export makes a new folder", "name another")
    history = [row for row in engine.rows("datasets") if row["name"] == name and row["version"] <= scan.version]
    record = next(row for row in history if row["version"] == scan.version)
    schema = scan.schema()
    file = references.file_column(schema)
    own = {"features_", *(() if file else references.COLUMNS)}  # what referred to files elsewhere goes along as bytes
    columns = [field for field in schema if not field.name.startswith(tuple(own))]
    with new_folder(folder.absolute()) as there:
        files = _write(scan, [field.name for field in columns], there)
        about = {
            "speciate_export": FORMAT,
            "dataset": record,
            "history": history,
            "columns": [{"name": f.name, "type": str(f.type), "blob": blobs.is_blob(f)} for f in columns],
            "files": files,
            "file": file,
            "attached": attach(scan, there) if file else [],
        }
        write_json(there / MANIFEST, about)
    return folder


def import_folder(engine: Any, folder: str | Path, name: str = "") -> int:
    """An exported folder as a new dataset with the same ids, labels, splits and content hash; its version."""
    folder = Path(folder)
    about = _manifest(folder)
    record = about["dataset"]
    name = check_name("dataset", name or record["name"])
    if any(row["name"] == name for row in engine.rows("datasets")):
        raise UsageError(f"dataset {name!r} is there already", "an import makes a new one", "give another name")
    _check_files(folder, about)
    table = f"dataset.{name}"
    with engine.store.lock(table):
        kept = detach(folder, about["attached"], engine.store.root) if about.get("file") else {}
        for file in about["files"]:
            rows = pq.read_table(folder / file["path"])
            rows = pointed(rows, kept, folder) if about.get("file") else rows
            engine.store.merge(table, _as_stored(rows, about["columns"], str(about.get("file") or "")), insert=True)
        found = content_hash(engine.store, table) if engine.store.exists(table) else ""
        if found != record["content"]:
            exists = f"its rows hash to {found}, not {record['content']}"
            raise SpeciateError(f"{folder} does not hold what it says", exists, "export it again, under another name")
        return int(engine._next(name, "import", f"imported {record['name']}@{record['version']}", record))


@contextmanager
def written(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under its name once it is whole and on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        do = "free some disk space or mend the permissions"
        raise SpeciateError(f"cannot write {path}", str(error), do) from error
    finally:
        temporary.unlink(missing_ok=True)


def _write(scan: Scan, columns: list[str], folder: Path) -> list[Row]:
    """The rows as Parquet files of a bounded size, and what the manifest says of each."""
    files: list[Row] = []
    kinds = scan.select(columns).kinds()
    parts = scan.batches(columns)
    part = next(parts, None)
    while part is not None:
        path = folder / f"rows-{len(files):05d}.parquet"
        size = rows = 0
        with path.open("wb") as file, pq.ParquetWriter(file, kinds, compression="zstd") as writer:
            while part is not None and size < FILE_BYTES:
                writer.write_table(part.cast(kinds))
                size, rows = size + part.nbytes, rows + part.num_rows
                part = next(parts, None)
        files.append({"path": path.name, "rows": rows, "sha256": _sha256(path)})
    return files


def _manifest(folder: Path) -> dict[str, Any]:
    about = read_json(folder / MANIFEST)
    if not isinstance(about, dict) or about.get("speciate_export") != FORMAT:
        exists = f"this Speciate reads exports of layout {FORMAT}"
        raise SpeciateError(f"{folder} is no export", exists, "use the Speciate that made it")
    lists = [about.get(name) for name in ("columns", "files", "history")]
    entries = [entry for entries in lists if isinstance(entries, list) for entry in entries]
    whole = all(isinstance(entries, list) for entries in lists) and all(isinstance(entry, dict) for entry in entries)
    record = about.get("dataset")
    lost = RECORD - record.keys() if isinstance(record, dict) else RECORD
    if not whole or lost:
        exists = f"its manifest lacks {', '.join(sorted(lost)) or 'its lists'}"
        raise SpeciateError(f"{folder} is damaged", exists, "export it again")
    return about


def _check_files(folder: Path, about: dict[str, Any]) -> None:
    for file in about["files"]:
        name = str(file.get("path"))
        if not FILE.fullmatch(name):
            raise SpeciateError(f"{folder} is damaged", f"it names a file {name!r}", "export it again")
        path = folder / name
        problem = "is missing" if not path.is_file() else "was changed" if _sha256(path) != file.get("sha256") else ""
        if problem:
            raise SpeciateError(f"{folder} is damaged", f"{path.name} {problem}", "copy or export it again")


def _as_stored(rows: pa.Table, columns: list[Row], file: str) -> pa.Table:
    """Rows with the fields that a table of the store has: its key, and its columns of large content."""
    large = {column.get("name") for column in columns if column.get("blob")}
    fields = [KEY if f.name == "id" else pa.field(f.name, f.type) for f in rows.schema]
    fields = [pa.field(f.name, pa.large_binary(), metadata=BLOB) if f.name in large else f for f in fields]
    fields = [f.with_metadata(references.marked(file)) if file and f.name == "uri" else f for f in fields]
    return pa.table([rows[f.name].cast(f.type) for f in fields], schema=pa.schema(fields))


def _chain(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.Table]:
    yield first
    yield from rest


def _without_null(schema: pa.Schema) -> pa.Schema:
    """A column that is empty so far is taken for text."""
    return pa.schema([pa.field(f.name, pa.string() if pa.types.is_null(f.type) else f.type) for f in schema])


def _fitted(part: pa.Table, schema: pa.Schema) -> pa.Table:
    try:
        return part.select(schema.names).cast(schema)
    except (KeyError, ValueError) as error:
        do = "let the function give every row the same columns and types"
        raise SpeciateError("the rows do not fit one file", str(error).splitlines()[0], do) from error


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if value is None or isinstance(value, str | int | float | list | dict) else str(value)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
