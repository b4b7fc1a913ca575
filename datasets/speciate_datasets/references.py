"""Rows whose content lies in a file: of a `file` column, or of `add --reference`. A file that has changed since, or is
gone, is noticed when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa

from speciate import Row, SpeciateError
from speciate_datasets.hashes import hash_of, hash_of_file
from speciate_datasets.keep import referred

__all__ = ["COLUMNS", "content", "file_column", "marked", "reference", "restored"]

COLUMNS = {"uri": pa.string(), "uri_size": pa.int64(), "uri_mtime": pa.int64(), "uri_hash": pa.string()}
MARK = b"speciate:file"  # metadata of `uri`: the column that a reader gave as a file
DO = "put the file back, or add it again"


def marked(column: str) -> dict[bytes, bytes]:
    """The metadata of `uri` in a dataset whose `column` is a file."""
    return {MARK: column.encode()}


def file_column(schema: pa.Schema) -> str:
    """The column that is a file in this dataset, if one is."""
    found = schema.field("uri").metadata if "uri" in schema.names else None
    return bytes((found or {}).get(MARK, b"")).decode()


def reference(path: Path, data: bytes, root: Path) -> Row:
    """The columns that stand for the bytes of a file."""
    return referred(path, root, hash_of(data))


def place(row: Mapping[str, Any], root: Path) -> Path:
    """The file that a row points at."""
    uri = str(row["uri"])
    return Path(unquote(uri.removeprefix("file://"))) if uri.startswith("file://") else root / uri


def content(row: Mapping[str, Any], root: Path) -> bytes:
    """The bytes that a row points at, if they are still those that were added."""
    path = place(row, root)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpeciateError(f"cannot read {path}", error.strerror or str(error), DO) from error
    if hash_of(data) != row["uri_hash"]:
        raise _changed(path, row)
    return data


def restored(row: Mapping[str, Any], root: Path, whole: bool = False) -> Path:
    """The file that a row points at: by size and time, and where the time differs (or `whole`) by all it holds."""
    path = place(row, root)
    try:
        state = path.stat()
        same = state.st_size == row["uri_size"]
        if same and (whole or state.st_mtime_ns != row["uri_mtime"]):
            same = hash_of_file(path) == row["uri_hash"]
    except OSError as error:
        raise SpeciateError(f"cannot read {path}", error.strerror or str(error), DO) from error
    if not same:
        raise _changed(path, row)
    return path.resolve()


def _changed(path: Path, row: Mapping[str, Any]) -> SpeciateError:
    return SpeciateError(f"{path} has changed since it was added", f"it was {row['uri_size']:,} bytes", DO)
