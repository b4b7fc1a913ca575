"""What of a table is on the disk: a line for each of its files, with a checksum, written after the file was fsynced.

Lance never fsyncs and keeps no checksums, and its files are never changed once they are written. So one list beside
each table says both: a file in it survives a power cut, and a file that differs from its line is damaged. A version
whose manifest is not in the list was never acknowledged.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from speciate.files import sync, write_text
from speciate_datasets.hashes import hash_of_file

MANIFESTS, HINT = "_versions", "latest_version_hint.json"
DATA_FILE = re.compile(rb"([01]{24}[0-9a-f]{26})\.lance")  # as a manifest names them
DELETIONS = re.compile(r"_deletions/(\d+)-(\d+)-\d+\.(?:arrow|bin)")  # fragment, version it was made from
LINE = re.compile(r"([0-9a-f]{8}) (([0-9a-f]{32}) (\d+) (.+))")  # check of the rest, checksum, size, relative path


class Sums:
    """The list of one table: relative path -> (checksum, size)."""

    def __init__(self, root: Path, name: str) -> None:
        self.folder, self.path = root / "lance" / f"{name}.lance", root / "sums" / name
        self._known: dict[str, tuple[str, int]] = {}
        self._read = (0, 0)  # inode and bytes of the list that are in `_known`
        self._checked: dict[str, bool] = {}  # files compared with their line by this process

    def known(self) -> dict[str, tuple[str, int]]:
        """The lines so far; only new ones are read again."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            self._known, self._read = {}, (0, 0)
            return self._known
        inode, at = self._read
        if inode != found.st_ino or found.st_size < at:
            self._known, at = {}, 0
        if found.st_size > at:
            with self.path.open("rb") as file:
                file.seek(at)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._known |= dict(filter(None, map(_read, whole.split(b"\n"))))
            at += len(whole)
        self._read = (found.st_ino, at)
        return self._known

    def files(self) -> Iterator[str]:
        """What lies in the folder, but for Lance's note of the newest version, which it rewrites."""
        return (name for name in _walk(self.folder, "") if not name.endswith(HINT))

    def vouch(self) -> None:
        """Put every file that is not in the list on the disk, then in the list. Lance's own note of the newest version
        is taken away: nobody could tell whether it is right after a power cut, and Lance does without."""
        (self.folder / MANIFESTS / HINT).unlink(missing_ok=True)
        known = self.known()
        new = sorted(set(self.files()) - known.keys())
        if not new:
            return
        lines = []
        for name in new:
            lines.append(_line(name, _sum_and_sync(self.folder / name)))
            self._checked[name] = True
        fsync_folders(self.folder, new)
        self._append("".join(lines))

    def _append(self, text: str) -> None:
        fresh = not self.path.exists()
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":  # a power cut within a line, which counts for nothing
                    return self._write(self.known(), text)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if fresh:
            sync(self.path.parent)
            sync(self.path.parent.parent)

    def _write(self, known: Mapping[str, tuple[str, int]], more: str = "") -> None:
        """The list anew."""
        lines = [_line(name, f"{digest} {size}") for name, (digest, size) in known.items()]
        write_text(self.path, "".join(lines) + more)

    def unreadable(self) -> int:
        """Lines of the list that say nothing."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return 0
        return sum(not _read(line) for line in lines[:-1]) + bool(lines[-1])

    def prune(self) -> None:
        """Forget the files that a cleanup removed."""
        there = set(self.files())
        self._write({name: found for name, found in self.known().items() if name in there})
        self._checked = {name: right for name, right in self._checked.items() if name in there}

    def right(self, name: str) -> bool:
        """Whether a file is what it was when it was written; each is read once in a process."""
        if name not in self._checked:
            right = self.compare(name)
            if not right and name.startswith("_deletions") and not (self.folder / name).exists():
                return True  # a gc took it since it was listed: no version needs it
            self._checked[name] = right
        return self._checked[name]

    def compare(self, name: str) -> bool:
        """The same, reading it now. A file without a line has nothing to differ from."""
        if name not in self.known():
            return (self.folder / name).is_file()
        digest, size = self.known()[name]
        try:
            return checksum(self.folder / name) == f"{digest} {size}"
        except OSError:
            return False

    def versions(self) -> list[int]:
        """The versions that have a manifest, newest first."""
        try:
            names = [entry.name for entry in os.scandir(self.folder / MANIFESTS)]
        except FileNotFoundError:
            return []
        stems = (name.removesuffix(".manifest") for name in names if name.endswith(".manifest"))
        return sorted((2**64 - 1 - int(stem) for stem in stems if stem.isdigit()), reverse=True)

    def needs(self, version: int) -> set[str]:
        """The files, but for blobs, that reading a version needs."""
        manifest = manifest_of(version)
        named = stems((self.folder / manifest).read_bytes())
        return {manifest, *(f"data/{stem}.lance" for stem in named), *self.deletions(version)}

    def deletions(self, version: int) -> set[str]:
        """Lists of deleted rows that a version may use: of each fragment the last one made before it."""
        last: dict[str, tuple[int, str]] = {}
        for name in _walk(self.folder / "_deletions", "_deletions/"):
            found = DELETIONS.fullmatch(name)  # and not what a writer is just writing, under another name
            if found and int(found[2]) < version:
                last[found[1]] = max(last.get(found[1], (-1, "")), (int(found[2]), name))
        return {name for _, name in last.values()}


def stems(manifest: bytes) -> set[str]:
    """The data files that hold a version's rows. What led to it, which stands before the manifest proper, names files
    that a compaction has replaced, too: those need not be there any more."""
    start = int.from_bytes(manifest[-16:-8], "little")
    return {found.decode() for found in DATA_FILE.findall(manifest, start if start < len(manifest) else 0)}


def manifest_of(version: int) -> str:
    return f"{MANIFESTS}/{2**64 - 1 - version:020d}.manifest"


def _line(name: str, found: str) -> str:
    """A line of the list; its own check comes first."""
    rest = f"{found} {name}"
    return f"{_check(rest)} {rest}\n"


def _read(line: bytes) -> tuple[str, tuple[str, int]] | None:
    found = LINE.fullmatch(line.decode("utf-8", "replace"))
    return (found[5], (found[3], int(found[4]))) if found and found[1] == _check(found[2]) else None


def _check(rest: str) -> str:
    return f"{zlib.crc32(rest.encode()):08x}"


def checksum(path: Path) -> str:
    """A checksum and the size, as a line of the list has them."""
    return f"{hash_of_file(path)} {path.stat().st_size}"


def _sum_and_sync(path: Path) -> str:
    found = checksum(path)
    sync(path)
    return found


def fsync_folders(folder: Path, names: Iterable[str]) -> None:
    """Put the names of new files on the disk, up to the workspace."""
    parents = {parent for name in names for parent in (folder / name).parents if parent.is_relative_to(folder)}
    for path in [*sorted(parents, reverse=True), folder.parent, folder.parent.parent]:
        sync(path)


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield f"{prefix}{entry.name}"
