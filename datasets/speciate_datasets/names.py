"""What files, and the groups that a label file names, are called in a dataset: by their own names, or by pseudonyms
where the format says that names may tell who somebody is."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speciate import Format, Row
from speciate.catalog import load, options_of
from speciate.contracts import Pseudonyms
from speciate_datasets.stored import absent, as_text, printable

__all__ = ["Names", "source_names"]


class Names:
    """The names that one add stores. The real ones stay in memory: for label files, and for what a person is told."""

    def __init__(self, format: Format, options: Mapping[str, Any]) -> None:
        self._other: Pseudonyms | None = None
        if format.pseudonym:
            self._other = load(format.pseudonym)(options_of(format, options))

    @property
    def hidden(self) -> bool:
        return self._other is not None

    def file(self, name: str) -> str:
        return self._other("file", name) if self._other else name

    def said(self, said: Row | None) -> Row | None:
        """What a label file says of a file, as it is stored."""
        if self._other is None or said is None or absent(said.get("group")):
            return said
        return {**said, "group": self._other("group", as_text(said["group"]))}


def source_names(files: Sequence[Path]) -> dict[Path, str]:
    """A short name for each file that stays true when the folder moves: its path below what they all share."""
    here = str(Path.cwd())
    whole = {path: os.path.join(here, path) for path in files}  # noqa: PTH118  (a third of the time of `absolute`)
    shared = len(os.path.commonpath({there.rpartition("/")[0] or "/" for there in whole.values()})) if files else 0
    return {path: printable(there[shared:].lstrip("/")) for path, there in whole.items()}
