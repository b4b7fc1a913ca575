"""Where clips begin and end: whole videos, equal lengths, scenes, or the rows of an annotation file."""

from __future__ import annotations

import csv
import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from speciate import SpeciateError, UsageError

if TYPE_CHECKING:
    from speciate_video.options import VideoOptions
    from speciate_video.watch import Watched

__all__ = ["Clip", "Note", "by_length", "by_notes", "by_scenes", "notes"]

NAMES = ("video", "file", "path", "filename", "name")
KNOWN = {"start", "end", "label", "group", *NAMES}
SHORTEST = 5  # frames of a scene
OURS = frozenset(
    {"start", "end", "at", "video", "frames", "fps", "width", "height", "seconds", "codec", "id", "source"}
)
MOST = 1 << 26  # bytes of an annotation file


@dataclass(frozen=True)
class Clip:
    """Frames of a video from `start` on, before `end`, and what is said of them."""

    start: int
    end: int
    said: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Note:
    """One line of an annotation file."""

    place: str
    start: float
    end: float
    said: dict[str, Any]


def by_length(count: int, options: VideoOptions) -> list[Clip]:
    """Equal clips; what is left at the end is a clip too, if it is at least half as long."""
    length = options.length or count
    stride = options.stride or length
    starts = range(0, count, stride)
    ends = [(start, min(start + length, count)) for start in starts]
    return [Clip(start, end) for start, end in ends if not start or (end - start) * 2 >= length]


def by_scenes(watched: Watched, options: VideoOptions) -> list[Clip]:
    """Cut where pictures change at once; a scene of a few frames belongs to the one before."""
    cuts = [0]
    for place, change in enumerate(watched.changes):
        if change > options.scenes and place - cuts[-1] >= SHORTEST:
            cuts.append(place)
    return [Clip(start, end) for start, end in zip(cuts, [*cuts[1:], watched.count], strict=True)]


def by_notes(lines: Sequence[Note], path: Path, watched: Watched, options: VideoOptions) -> list[Clip]:
    """The clips that an annotation file names."""
    found = []
    for note in lines:
        if options.unit == "seconds":
            start, end = (bisect_left(watched.times, value * 1000 - 0.5) for value in (note.start, note.end))
        else:
            start, end = int(note.start), int(note.end)
        if not 0 <= start < end <= watched.count:
            exists = f"it is from {note.start:g} to {note.end:g} {options.unit}; the video has {watched.count} frames"
            do = "mend the line, or type -o unit=seconds" if options.unit == "frames" else "mend the line"
            raise SpeciateError(f"{note.place} is no clip of {path.name}", exists, do)
        found.append(Clip(start, end, note.said))
    return found


def notes(path: Path, options: VideoOptions) -> list[Note]:
    """The lines about a video: of the CSV with its name beside it, or those that name it in the common one."""
    wanted = options.annotations
    beside = f"{path.name if path.is_dir() else path.stem}.csv"
    table = path.parent / (wanted or beside)
    if not table.is_file():
        return []
    if table.stat().st_size > MOST:
        raise SpeciateError(f"{table.name} is too large", f"the limit is {MOST >> 20} MiB", "split it into several")
    with table.open(encoding="utf-8-sig", newline="") as file:
        try:
            rows = list(_table(file))
        except (csv.Error, UnicodeDecodeError) as error:
            raise SpeciateError(f"{table.name} is no CSV", str(error), "save it as CSV in UTF-8") from error
    column = _column(table, rows, bool(wanted))
    if not column and not wanted and not _spans(rows):
        return []  # some other table that happens to have this name
    told = [(number, row) for number, row in enumerate(rows, 2) if not column or _names(row[column], path)]
    return [_note(f"line {number} of {table.name}", row, column) for number, row in told]


def _table(file: TextIO) -> Iterator[dict[str, str]]:
    """Rows, whatever parts their fields and however our names are written: Excel writes Start;End in half of Europe."""
    first = file.readline()
    file.seek(0)
    reader = csv.DictReader(file, delimiter=next((mark for mark in ",;\t" if mark in first), ","))
    names = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = [name.lower() if name.lower() in KNOWN else name for name in names]
    yield from reader


def _spans(rows: Sequence[dict[str, str]]) -> bool:
    return bool(rows) and {"start", "end"} <= set(rows[0])


def _column(table: Path, rows: Sequence[dict[str, str]], needed: bool) -> str:
    """The column that names the video."""
    if needed and not _spans(rows):
        exists = f"its columns are: {', '.join(map(str, rows[0])) if rows else 'none'}"
        raise UsageError(f"{table.name} says nothing of clips", exists, "give it the columns start, end and label")
    column = next((name for name in NAMES if rows and name in rows[0]), "")
    if needed and not column:
        exists = f"its columns are: {', '.join(rows[0])}"
        raise UsageError(f"{table.name} does not say of which video", exists, "give it a column video")
    return column


def _names(word: str | None, path: Path) -> bool:
    parts = Path((word or "").strip()).parts
    return bool(parts) and (path.parts[-len(parts) :] == parts or parts == (path.stem,))


def _note(place: str, row: dict[str, Any], column: str) -> Note:
    try:
        start, end = float(row["start"]), float(row["end"])
    except (TypeError, ValueError):
        start = end = math.nan
    if not (math.isfinite(start) and math.isfinite(end)):
        exists = f"start is {row['start']!r}, end is {row['end']!r}"
        raise SpeciateError(f"{place} has no start and end", exists, "write numbers")
    said = {name: value for name, value in row.items() if name and name not in OURS and name != column}
    return Note(place, start, end, {name: value for name, value in said.items() if value not in (None, "")})
