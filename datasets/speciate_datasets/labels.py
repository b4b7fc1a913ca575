"""Label files: `add --labels FILE` joins the rows of a CSV, TSV, JSONL or Parquet file to files by path, file name,
stem or content hash; `--labels folders` takes the name of the folder that a file is in.

A column called `mask`, and labels that are paths of masks, are read as masks. What matches nothing is counted."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from speciate import Row, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_datasets import maskfiles
from speciate_datasets.stored import TARGETS, printable

FOLDERS = "folders"
KEYS = (
    *("path", "file", "filepath", "file_path", "filename", "file_name", "name", "image", "image_path", "document"),
    *("id", "image_id", "video", "audio", "hash", "sha256", "sha1", "md5"),
)
HASHES = {32: "md5", 40: "sha1", 64: "sha256"}
SHOWN = 3
Keys = dict[str, Row]
Aliases = Mapping[Path, Sequence[Path]]


@dataclass(frozen=True)
class Gaps:
    """What a label file and the files do not share."""

    unmatched: Sequence[str] = ()  # what rows of the label file name that no file goes with
    unlabelled: Sequence[tuple[Path, str]] = ()  # files that no label goes with, and their names

    def said(self, refused: Collection[str]) -> dict[str, Any]:
        """How many, and a few of both; a file that was refused misses no label."""
        bare = [name for path, name in self.unlabelled if not refused or printable(str(path)) not in refused]
        few = {"unmatched": self.unmatched[:SHOWN], "unlabelled": tuple(bare[:SHOWN])}
        examples = {what: some for what, some in few.items() if some}
        return {"labels_unmatched": len(self.unmatched), "unlabelled": len(bare), "label_gaps": examples}


class Labels:
    """What is said of each file: label, group and split, and the column that the label is from."""

    def __init__(self, source: str, target: str = "", group: str = "") -> None:
        self.source, self.gaps = source, Gaps()
        self._target, self._group = target, group
        self._rows = [] if source == FOLDERS else list(_records(Path(source)))
        self._home = Path(source).parent

    def join(self, files: Sequence[Path], names: Mapping[Path, str], others: Aliases | None = None) -> dict[Path, Row]:
        """What is said of the files that something is said of; a file may be known by other paths, too."""
        others = others or {}
        if self.source == FOLDERS:
            where = {path: others[path][0] if path in others else path for path in files}
            return {path: {"label": at.absolute().parent.name, "target": "folder"} for path, at in where.items()}
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        key, found = self._match(columns, [*files, *(other for path in files for other in others.get(path, ()))])
        said = {path: [found[at] for at in (path, *others.get(path, ())) if at in found] for path in files}
        said = {path: rows for path, rows in said.items() if rows}
        target = self._column(columns, key)
        self._agree(said, key, target)
        found = {path: next((row for row in rows if _labelled(row, target)), rows[0]) for path, rows in said.items()}
        group = self._group if self._group in columns else next((c for c in columns if c.lower() == "group"), "")
        split = next((name for name in columns if name.lower() == "split"), "")
        self._count(key, files, names, said, target)
        picked = {"label": target, "group": group, "split": split}
        masks = self._masks(target)
        return {
            path: {what: row.get(name) for what, name in picked.items() if name} | {"target": target} | masks[id(row)]
            for path, row in found.items()
        }

    def _agree(self, said: Mapping[Path, Sequence[Row]], key: str, target: str) -> None:
        """Files that are one thing have one label."""
        for rows in said.values():
            labels = {str(row.get(target)): str(row.get(key)) for row in rows if _labelled(row, target)}
            if len(labels) > 1:
                (one, first), (two, second), *_ = labels.items()
                asked = f"{self.source} says {one!r} of {first} and {two!r} of {second}, which are one thing"
                do = "give them one label, or choose a format that takes each file alone with --format"
                raise UsageError(printable(asked), "one thing has one label", do)

    def without_masks(self, files: Sequence[Path]) -> list[Path]:
        """The files that are no labels of others, for masks may lie in the folder of what they belong to."""
        wanted = (self._target.lower(),) if self._target else (*TARGETS, maskfiles.COLUMN)
        said = [value for row in self._rows for name, value in row.items() if name.strip().lower() in wanted]
        masks = {at.absolute() for at in (maskfiles.named(v, self._home, False) for v in said) if isinstance(at, Path)}
        return [path for path in files if path.absolute() not in masks] if masks else list(files)

    def _masks(self, target: str) -> dict[int, Row]:
        """The masks that rows name as their labels, by row."""
        sure, missing = target.strip().lower() == maskfiles.COLUMN, []
        found: dict[int, Row] = {}
        for row in self._rows:
            said = maskfiles.named(row.get(target), self._home, sure)
            found[id(row)] = {"label": said} if isinstance(said, str) else {}
            if isinstance(said, Path):
                missing += [] if said.is_file() else [str(row[target])]
                names = maskfiles.names_beside(row.get(maskfiles.NAMES), self._home)
                found[id(row)] = {"mask": (str(said.absolute()), names)}
        if missing:
            asked = f"{self.source} names {len(missing)} masks that are not there, such as {missing[0]}"
            raise UsageError(asked, f"looked in {self._home.absolute()}", "write paths as seen from the label file")
        return found

    def _match(self, columns: list[str], files: Sequence[Path]) -> tuple[str, dict[Path, Row]]:
        """The column that names the files, and the row of each: the usual names first, then whatever matches."""
        lower = {name.strip().lower(): name for name in reversed(columns)}
        usual = [lower[name] for name in KEYS if name in lower]
        others = [name for name in columns if name not in usual and name != self._target]
        twice = ""
        for column in dict.fromkeys([*usual, *others]):
            keys, again = self._keys(column)
            found = next(filter(None, (way(keys, files) for way in (_by_path, _by_name, _by_hash))), {})
            if found and not again:
                return column, found
            if found:  # a column of labels has them twice, too, and one of them may be called like a file
                twice = twice or again
                if column in usual:
                    break
        if twice:
            exists = "its rows say different things"
            raise UsageError(f"{self.source} names {twice!r} twice", exists, "keep one of them")
        first = next(iter(self._rows[0].values()))
        exists = f"its columns are: {', '.join(columns)}; it begins with {first!r}; a file is {files[0].name!r}"
        do = "name the files in a column by path, file name, stem or hash"
        raise UsageError(f"{self.source} names none of these files", exists, do)

    def _keys(self, column: str) -> tuple[Keys, str]:
        """The rows by what they are called in a column, and a name of which rows say different things."""
        keys: Keys = {}
        twice = ""
        for row in self._rows:
            name = _norm(row.get(column))
            if name and keys.setdefault(name, row) != row:
                twice = twice or name
        return keys, twice

    def _column(self, columns: list[str], key: str) -> str:
        """The column with the labels: the one that was asked for, one that is called so, or the only other one."""
        if self._target:
            if self._target not in columns:
                raise unknown("column", self._target, columns, "type --target COLUMN")
            return self._target
        lower = {name.strip().lower(): name for name in reversed(columns) if name != key}
        rest = [name for name in columns if name != key]
        target = next(
            (lower[name] for name in (*TARGETS, maskfiles.COLUMN) if name in lower), rest[0] if len(rest) == 1 else ""
        )
        if not target:
            exists = f"its columns are: {', '.join(columns)}"
            raise UsageError(f"which column of {self.source} has the labels?", exists, "type --target COLUMN")
        return target

    def _count(
        self,
        key: str,
        files: Sequence[Path],
        names: Mapping[Path, str],
        said: Mapping[Path, Sequence[Row]],
        target: str,
    ) -> None:
        used = {id(row) for rows in said.values() for row in rows}
        same = {_norm(row.get(key)) for rows in said.values() for row in rows}
        spare = [row for row in self._rows if id(row) not in used and _norm(row.get(key)) not in same]
        bare = [path for path in files if not any(_labelled(row, target) for row in said.get(path, ()))]
        self.gaps = Gaps(tuple(printable(str(row.get(key))) for row in spare), [(path, names[path]) for path in bare])


def _labelled(row: Row, target: str) -> bool:
    return row.get(target) not in (None, "")


def _by_path(keys: Keys, files: Sequence[Path]) -> dict[Path, Row]:
    """By as much of its path as the label file names, with or without the ending; the longest match wins,
    and a whole name over one without its ending."""
    depth = max((name.count("/") for name in keys), default=0) + 1
    found: dict[Path, tuple[str, Row]] = {}
    for path in files:
        parts = path.absolute().parts
        for length in range(min(depth, len(parts)), 0, -1):
            folder = "/".join((*parts[-length:-1], ""))
            name = next((n for n in (folder.replace("//", "/") + e for e in _endings(path)) if n in keys), None)
            if name is not None:
                found[path] = (name, keys[name])
                break
    whole = {name for path, (name, _) in found.items() if name.endswith(path.name)}
    found = {path: said for path, said in found.items() if said[0] not in whole or said[0].endswith(path.name)}
    _one_each({path: name for path, (name, _) in found.items()})
    return {path: row for path, (_, row) in found.items()}


def _by_name(keys: Keys, files: Sequence[Path]) -> dict[Path, Row]:
    """By file name alone, where the label file was written on a machine with other folders."""
    short: Keys = {}
    for name, row in keys.items():
        if short.setdefault(PurePosixPath(name).name, row) is not row:
            return {}
    return _by_path(short, files)


def _by_hash(keys: Keys, files: Sequence[Path]) -> dict[Path, Row]:
    """By a hash of the whole file."""
    lower = {name.lower(): row for name, row in keys.items()}
    kinds = {HASHES.get(len(name)) if re.fullmatch("[0-9a-f]+", name) else None for name in lower}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        return {}
    found = {}
    for path in filter(Path.is_file, files):
        with path.open("rb") as file:
            row = lower.get(hashlib.file_digest(file, kind).hexdigest())
        if row is not None:
            found[path] = row
    return found


def _one_each(found: Mapping[Path, str]) -> None:
    """A name that means two files says nothing sure of either."""
    first: dict[str, Path] = {}
    for path, name in found.items():
        if first.setdefault(name, path) != path:
            exists = f"it may mean {printable(str(first[name]))} and {printable(str(path))}"
            raise UsageError(f"the label file names {name!r}", exists, "write more of the path in the label file")


def _endings(path: Path) -> tuple[str, ...]:
    """A file's name, without its last ending, and without any."""
    name = path.name
    return tuple(dict.fromkeys((name, path.stem, name.split(".")[0] or name)))


def _norm(value: Any) -> str:
    text = str(value if value is not None else "").strip().replace("\\", "/")
    return text.removeprefix("./")


def _records(path: Path) -> Iterator[Row]:
    """The rows of a label file."""
    if not path.is_file():
        raise UsageError(f"there is no label file {path}", f"looked in {path.absolute().parent}", "check the path")
    read = READERS.get(path.suffix.lower())
    if read is None:
        exists = f"a label file is one of: {', '.join(READERS)}; or the word folders"
        raise UsageError(f"{path.name} is no label file", exists, "convert it")
    try:
        rows = list(read(path))
    except (ValueError, csv.Error, OSError) as error:
        exists = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpeciateError(f"cannot read the label file {path}", exists, "mend it") from error
    if not rows:
        raise SpeciateError(f"the label file {path} is empty", "it has no row", "write one row a file")
    yield from rows


def _table(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        mark = "\t" if path.suffix.lower() == ".tsv" else next((m for m in (",", ";", "\t") if m in first), ",")
        for row in csv.DictReader(file, delimiter=mark, strict=True):
            if None in row or None in row.values():
                raise ValueError(f"a row has more or fewer fields than the header: {list(row.values())[:3]}")
            yield dict(row)


def _lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not a JSON object")
            yield row


def _parquet(path: Path) -> Iterator[Row]:
    from pyarrow import parquet

    yield from parquet.read_table(path).to_pylist()


READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _table,
    ".tsv": _table,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".parquet": _parquet,
}
