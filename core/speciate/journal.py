"""What a training says of itself, in its run's folder: `metrics.csv` with the numbers of each step, `notes.json` with
what else is worth knowing. A row is there once it is written; a resumed run writes what follows its checkpoint again.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speciate.files import write_json

__all__ = ["METRICS", "NOTES", "Listener", "RunJournal", "best", "metrics", "notes"]

METRICS, NOTES = "metrics.csv", "notes.json"
FIELDS = ("step", "time", "name", "value")

Listener = Callable[[int, dict[str, float]], None]


class RunJournal:
    """Numbers by step, and facts; `listeners` hear every row (trackers, pruning)."""

    def __init__(self, folder: Path, listeners: tuple[Listener, ...] = ()) -> None:
        self.folder, self.listeners = folder, listeners
        self.notes = notes(folder)  # of the attempt before, where a run goes on
        self._mended = False

    def write(self, step: int, **numbers: float) -> None:
        path = self.folder / METRICS
        if not self._mended:
            _end_line(path)
            self._mended = True
        new = not path.exists()
        with path.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file)
            if new:
                rows.writerow(FIELDS)
            rows.writerows([step, f"{time.time():.3f}", name, repr(float(value))] for name, value in numbers.items())
        for listener in self.listeners:
            listener(step, numbers)

    def note(self, **facts: Any) -> None:
        self.notes |= facts
        write_json(self.folder / NOTES, self.notes)


def _end_line(path: Path) -> None:
    """What a kill cut short must not run together with what is written next."""
    if path.exists() and (data := path.read_bytes()) and not data.endswith(b"\n"):
        path.write_bytes(data + b"\n")


def metrics(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """{name: [(step, value)]} of a run; of a step that was written twice, what was written last."""
    path = folder / METRICS
    found: dict[str, dict[int, float]] = {}
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                try:  # a line that a kill cut short
                    found.setdefault(row["name"], {})[int(row["step"])] = float(row["value"])
                except (TypeError, ValueError):
                    continue
    return {name: sorted(values.items()) for name, values in found.items()}


def best(folder: Path, higher_is_better: bool) -> tuple[int, float] | None:
    """The step with the best dev score, and that score; the first of equals."""
    found = [row for row in metrics(folder).get("dev", []) if math.isfinite(row[1])]
    return (max if higher_is_better else min)(found, key=lambda row: row[1]) if found else None


def notes(folder: Path) -> dict[str, Any]:
    path = folder / NOTES
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return read
