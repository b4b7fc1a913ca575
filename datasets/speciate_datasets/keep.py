"""Files that rows refer to, put where the dataset finds them again: once, under `blobs/`, named by a hash of what they
hold; or left where they are, with `add --reference`.

This is the half that runs in the reading processes; `references.py` finds the files again.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from speciate import Row
from speciate.files import sync
from speciate_datasets.hashes import Hash, hash_of_file
from speciate_datasets.spool import Full

__all__ = ["Keeper", "own_scratch", "sweep"]

BLOBS, SCRATCH = "blobs", "tmp"
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,8}")


class Keeper:
    """Keeps the files of one source; several rows may share one."""

    def __init__(self, root: Path, refer: bool) -> None:
        self.root, self.refer = root, refer
        self._kept: dict[Path, Row] = {}

    def __call__(self, path: Path) -> Row:
        """The columns that stand for a file."""
        if path not in self._kept:
            refer = self.refer and not self._made(path)
            self._kept[path] = referred(path, self.root, hash_of_file(path)) if refer else self._own(path)
        return self._kept[path]

    def _made(self, path: Path) -> bool:
        """Whether the reader made this file, and it lies where it will stay."""
        return path.is_relative_to(self.root / SCRATCH)

    def _own(self, path: Path) -> Row:
        """A copy below `blobs/`, on the disk when this returns."""
        folder = self.root / BLOBS
        temporary = folder / f".{os.getpid()}-{len(self._kept)}"
        try:
            folder.mkdir(exist_ok=True)
            name = _moved(path, temporary) if self._made(path) else _copied(path, temporary)
            place = folder / name[:2] / (name + (path.suffix.lower() if SUFFIX.fullmatch(path.suffix) else ""))
            if place.exists():
                temporary.unlink()
            else:
                place.parent.mkdir(exist_ok=True)
                temporary.replace(place)
                sync(place.parent)
                sync(folder)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            if not path.exists():
                raise
            size, free = path.stat().st_size, shutil.disk_usage(self.root).free
            exists = f"{error.strerror or error}; {size:,} bytes to write, {free:,} bytes free"
            raise Full(f"cannot write {folder}", exists, "free some disk space, or add with --reference") from error
        return referred(place, self.root, name)


def referred(path: Path, root: Path, content: str) -> Row:
    """The columns that name a file; its place is told from the workspace where that is shorter."""
    state = path.stat()
    whole, home = path.absolute(), root.absolute()
    near = os.path.commonpath([whole, home.parent]) == str(home.parent)
    uri = Path(os.path.relpath(whole, home)).as_posix() if near else whole.as_uri()
    return {"uri": uri, "uri_size": state.st_size, "uri_mtime": state.st_mtime_ns, "uri_hash": content}


def own_scratch(root: Path) -> Path:
    """Where the readers of this process make files; `sweep` clears it when the process is no more."""
    return root / SCRATCH / str(os.getpid())


def sweep(root: Path) -> None:
    """Take away what processes that are gone have left: half-made files, half-made copies."""
    for path in [*(root / SCRATCH).glob("*"), *(root / BLOBS).glob(".*-*")]:
        process = path.name.lstrip(".").partition("-")[0]
        if process.isdigit() and not Path(f"/proc/{process}").exists():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _moved(path: Path, place: Path) -> str:
    """Take a file that the reader made, on the disk when this returns, and say its hash."""
    name = hash_of_file(path)
    sync(path)
    try:
        place.hardlink_to(path)
    except OSError:  # a file system without links
        return _copied(path, place)
    return name


def _copied(path: Path, place: Path) -> str:
    """Copy, on the disk when this returns, and say the hash of what was copied; holes stay holes."""
    state = Hash()
    with path.open("rb") as source, place.open("wb") as copy:
        while chunk := source.read(CHUNK):
            state.update(chunk)
            if chunk == ZEROS:
                copy.seek(CHUNK, os.SEEK_CUR)
            else:
                copy.write(chunk)
        copy.truncate()
        copy.flush()
        os.fsync(copy.fileno())
    return str(state)
