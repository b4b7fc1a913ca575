"""References: rows of `add --reference` say where their bytes lie; a file that changed or went is noticed when read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from speciate import Row, SpeciateError


def reference(path: Path, content: bytes, root: Path) -> Row:
    """The columns that stand for the bytes of a file; its place is told from the workspace where that is shorter."""
    state = path.stat()
    if state.st_size != len(content) or _hash(path.read_bytes()) != _hash(content):
        exists = "what is stored of it is not the file itself"
        raise SpeciateError(f"{path.name} cannot be stored as a reference", exists, "leave out --reference")
    whole, home = path.absolute(), root.absolute()
    near = os.path.commonpath([whole, home.parent]) == str(home.parent)
    uri = Path(os.path.relpath(whole, home)).as_posix() if near else whole.as_uri()
    return {"uri": uri, "uri_size": state.st_size, "uri_mtime": state.st_mtime_ns, "uri_hash": _hash(content)}


def place(row: Mapping[str, Any], root: Path) -> Path:
    """The file that a row points at."""
    uri = str(row["uri"])
    return Path(unquote(uri.removeprefix("file://"))) if uri.startswith("file://") else root / uri


def content(row: Mapping[str, Any], root: Path) -> bytes:
    """The bytes that a row points at, if they are still those that were added."""
    path = place(row, root)
    do = "put the file back, or add it again"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SpeciateError(f"cannot read {path}", error.strerror or str(error), do) from error
    if len(data) != row["uri_size"] or _hash(data) != row["uri_hash"]:
        raise SpeciateError(f"{path} has changed since it was added", f"it was {row['uri_size']:,} bytes", do)
    return data


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
