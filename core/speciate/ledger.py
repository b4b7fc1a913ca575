"""The ledger: the workspace's rows about runs, models, scores and endpoints, light to read.

The rows live in the store. It keeps an index file beside each of its tables and marks it dirty while it writes; a
clean index is read as it is, so that `speciate list` imports neither Lance nor Arrow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from speciate.contracts import Engine, Row
from speciate.files import read_json

__all__ = ["Ledger"]


class Ledger:
    """Rows by table, oldest first; rows are added, never changed."""

    def __init__(self, root: Path, engine: Callable[[], Engine]) -> None:
        self._index, self._engine = root / "index", engine

    def rows(self, table: str) -> list[Row]:
        if (self._index / f"{table}.dirty").exists():
            return list(self._engine().rows(table))
        path = self._index / f"{table}.json"
        rows: list[Row] = read_json(path) if path.exists() else []
        return rows

    def latest(self, table: str, key: str) -> dict[str, Row]:
        """The last row for each value of a key."""
        return {row[key]: row for row in self.rows(table)}

    def append(self, table: str, rows: Sequence[Row]) -> None:
        self._engine().append(table, rows)
