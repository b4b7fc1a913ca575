"""Words that a teacher said, kept in the workspace: on the disk before the next step, found again by any later run."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Kept"]

TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT, tokens INTEGER, seconds REAL)"


class Kept:
    """Answers by key, in `answers.sqlite` of a folder; without a folder, for as long as this is open."""

    def __init__(self, folder: Path | None) -> None:
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
        self._base = sqlite3.connect(folder / "answers.sqlite" if folder else ":memory:", timeout=60)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=FULL")
        self._base.execute(TABLE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._base.close()

    def get(self, key: str) -> str | None:
        row = self._base.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def seconds(self, key: str) -> float | None:
        """How long the answer took."""
        row = self._base.execute("SELECT seconds FROM answers WHERE key = ?", (key,)).fetchone()
        return float(row[0]) if row else None

    def put(self, answers: Sequence[tuple[str, str, int, float]]) -> None:
        """(key, answer, tokens, seconds) of each: all on the disk when it returns, or none."""
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", answers)
