"""Sources: the files a person means, and the Format that knows them: first by name, then by their first bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

from speciate.catalog import Catalog
from speciate.contracts import Format, Quarantined
from speciate.errors import UsageError

__all__ = ["check_same", "collect", "of_format", "recognise"]


def collect(paths: Sequence[str | Path]) -> tuple[list[Path], tuple[Quarantined, ...]]:
    """Every file below the paths, in order, without hidden ones; and those that cannot be opened."""
    files: list[Path] = []
    refused: dict[Path, str] = {}
    for path in map(Path, paths):
        if path.is_dir():
            files += _below(path)
        elif path.is_file():
            files.append(path)
        elif path.exists():  # a pipe would wait for ever
            refused[path] = "cannot be opened: it is no regular file"
        else:
            raise UsageError(f"there is no {path}", f"looked in {path.absolute().parent}", "check the path")
    if not files and not refused:
        raise UsageError(
            "there are no files to read",
            f"looked in {', '.join(map(str, paths)) or 'nothing'}",
            "name files or folders",
        )
    refused |= {path: _closed(path) for path in files if not os.access(path, os.R_OK)}  # the rest shows when it is read
    good = [path for path in dict.fromkeys(files) if path not in refused]
    return good, tuple(Quarantined(str(path), problem) for path, problem in refused.items())


def _closed(path: Path) -> str:
    """Why a file cannot be opened."""
    return f"cannot be opened: {'permission denied' if path.exists() else 'it is a link to nothing'}"


def recognise(
    catalog: Catalog, files: Sequence[Path], strangers: tuple[Quarantined, ...], name: str
) -> tuple[Format, list[Path], tuple[Quarantined, ...]]:
    """The one Format of these files, those it knows, and the rest with a reason."""
    formats = catalog.all(Format)
    if name:
        asked = catalog.get(Format, name)
        return asked, [path for path in files if not _fits(path, asked.companions)], strangers
    found = _alone({path: _known(formats, path) for path in files})
    chosen = {f.name: f for f in found.values() if f is not None}
    patterns = [f"{f.name} ({' '.join(f.patterns)})" for f in formats]
    known = f"installed formats: {', '.join(patterns) or 'none'}"
    if not chosen:
        first = (
            f"no installed format knows {files[0]}" if files else "; ".join(f"{s.path}: {s.reason}" for s in strangers)
        )
        raise UsageError(first, known, "type --format NAME, or install a plugin for it")
    if len(chosen) > 1:
        raise UsageError(
            f"these files are of several formats: {', '.join(sorted(chosen))}", known, "type --format NAME"
        )
    unknown = tuple(
        Quarantined(str(path), "no installed format knows this file") for path, f in found.items() if f is None
    )
    return next(iter(chosen.values())), [path for path, f in found.items() if f is not None], strangers + unknown


def _alone(found: dict[Path, Format | None]) -> dict[Path, Format | None]:
    """What lies beside a format's files belongs to them, whoever else may know it."""
    for one in {f.name: f for f in found.values() if f is not None and f.companions}.values():
        beside = {path for path, f in found.items() if f is not one and _fits(path, one.companions)}
        if all(path in beside for path, f in found.items() if f not in (one, None)):
            return {path: f for path, f in found.items() if path not in beside}
    return found


def check_same(known: Mapping[str, Any], format: Format, options: Mapping[str, Any]) -> None:
    """A dataset has one format and one set of options: they decide what its rows mean."""
    if known["format"] != format.name:
        asked = f"dataset {known['name']!r} holds {known['format']}, these files are {format.name}"
        raise UsageError(asked, "a dataset has one format", "add them under another name")
    if options and options != known["options"]:
        asked = f"dataset {known['name']!r} was made with other options: {known['options'] or 'none'}"
        raise UsageError(asked, f"now asked: {dict(options)}", "leave them out, or add under another name")


def of_format(format: Format, paths: Sequence[str | Path]) -> tuple[list[Path], tuple[Quarantined, ...]]:
    """The files a person named, and those of a folder that look like the format."""
    named = {path for path in map(Path, paths) if not path.is_dir()}
    files, strangers = collect(paths)
    return [path for path in files if path in named or _knows(format, path)], strangers


def _known(formats: Sequence[Format], path: Path) -> Format | None:
    """Whose name it has; a file that nobody knows by its name is looked into."""
    by_name = (f for f in formats if _fits(path, f.patterns))
    return next(by_name, None) or next((f for f in formats if _starts(f, path)), None)


def _knows(format: Format, path: Path) -> bool:
    return _fits(path, format.patterns) or _starts(format, path)


def _fits(path: Path, patterns: tuple[str, ...]) -> bool:
    return _fitting(patterns)(path.name.lower())


@lru_cache(maxsize=256)
def _fitting(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Asked of every file of a folder: most patterns are "*" and an ending, and endings are compared at once."""
    endings, others = [], []
    for pattern in map(str.lower, patterns):
        if pattern.startswith("*") and not set(pattern[1:]) & set("*?["):
            endings.append(pattern[1:])
        else:
            others.append(re.compile(translate(pattern)))
    ends = tuple(endings)
    return lambda name: name.endswith(ends) or any(other.match(name) for other in others)


def _starts(format: Format, path: Path) -> bool:
    if not format.magic:
        return False
    with path.open("rb") as file:
        file.seek(format.magic_at)
        return file.read(max(map(len, format.magic))).startswith(format.magic)


def _below(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Its files, in order, without hidden ones and without workspaces: what Speciate keeps there is no input. A link to
    a folder that it lies in is not followed; one to nothing is told of, as what cannot be opened."""
    here = above | {folder.resolve()}
    with os.scandir(folder) as there:
        entries = sorted(there, key=lambda entry: entry.name)
    for entry in entries:
        path, link = Path(entry.path), entry.is_symlink()
        if entry.name.startswith("."):
            continue
        if (link and not path.exists()) or entry.is_file():
            yield path
        elif entry.is_dir() and not (path / "workspace.json").exists() and not (link and path.resolve() in here):
            yield from _below(path, here)
