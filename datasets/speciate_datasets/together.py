"""Files that are one thing: a series of slices, a folder of frames. A format's `together` gives each file a key, in a
limited process as any reader; files of one key are read as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from speciate import Row
from speciate.catalog import load
from speciate_datasets.stored import File

__all__ = ["READER", "Keys", "aliases", "gathered", "numbered"]

READER = "speciate_datasets.together:Keys"


class Keys:
    """A Reader of keys."""

    def __init__(self, options: str) -> None:
        self._key = load(options)

    def schema(self) -> Mapping[str, str]:
        return {"key": "string"}

    def read(self, path: Path) -> Iterator[Row]:
        yield {"key": str(self._key(path)).encode("utf-8", "backslashreplace").decode()}  # a path may be no text

    def decode(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row


def numbered(files: Sequence[File]) -> list[File]:
    """Files named by their places: what they are called may not be unique, or not be written anywhere."""
    return [replace(file, source=str(place)) for place, file in enumerate(files)]


def gathered(files: Sequence[File], keys: Mapping[str, str]) -> list[File]:
    """One File for all that have the same key, in the order of their first; those without a key are left out."""
    parts: dict[str, list[File]] = {}
    for place, file in enumerate(files):
        if str(place) in keys:
            parts.setdefault(keys[str(place)], []).append(file)
    groups = (sorted(group, key=lambda file: file.path) for group in parts.values())
    return [
        File(group[0].path, group[0].source, sum(file.size for file in group), None, tuple(f.path for f in group))
        for group in groups
    ]


def aliases(files: Sequence[File]) -> dict[Path, Sequence[Path]]:
    """What else a label file may call each thing: its folder, where it has one for itself, and each of its parts."""
    homes = Counter(folder for file in files for folder in {part.parent for part in file.parts})
    return {
        file.path: [*(folder for folder in {p.parent for p in file.parts} if homes[folder] == 1), *file.parts]
        for file in files
        if len(file.parts) > 1
    }
