"""Files written whole or not at all, and on the disk before anyone is told so."""

from __future__ import annotations

import atexit
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from speciate.errors import SpeciateError, UsageError

__all__ = [
    "check_name",
    "new_folder",
    "read_json",
    "scratch",
    "scratch_in",
    "sha256",
    "sync",
    "write_json",
    "write_text",
]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_scratch: ContextVar[Path | None] = ContextVar("scratch", default=None)


def check_name(kind: str, name: str) -> str:
    """A name that is safe as a folder anywhere."""
    if not NAME.fullmatch(name):
        exists = "names are letters, digits, - and _, at most 64, and start with a letter or digit"
        raise UsageError(f"{name!r} cannot name a {kind}", exists, "choose another name")
    return name


def write_text(path: Path, text: str) -> None:
    """Whole or not at all, and on the disk when it returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        exists = f"{error.strerror or error}; {len(text.encode()):,} bytes to write"
        raise SpeciateError(f"cannot write {path}", exists, "free some disk space or mend the permissions") from error


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"there is no {path}", "", "check the path") from None
    except (OSError, ValueError) as error:
        raise SpeciateError(f"cannot read {path}", str(error), "restore the file, or make it again") from error


def sha256(path: Path) -> str:
    """Of a file's bytes; they are read again only if the file is another than last time."""
    known = path.stat()
    return _sha256(path, known.st_size, known.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _sha256(path: Path, size: int, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that appears under its name only once it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    yield temporary
    for file in [*temporary.iterdir(), temporary]:
        sync(file)
    temporary.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Put one file, or the names in one folder, on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def scratch() -> Path:
    """An empty folder of the caller's own, for files that a Reader makes; it is gone soon after they were taken, or
    where nobody said when that is, when this process ends."""
    folder = _scratch.get() or _until_the_end(os.getpid())
    folder.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="speciate-", dir=folder))


@functools.cache
def _until_the_end(process: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="speciate-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """Let `scratch` give folders below this one, on the disk where what is made there will stay."""
    token = _scratch.set(folder)
    try:
        yield folder
    finally:
        _scratch.reset(token)
