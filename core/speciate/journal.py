"""What a training says of itself, in its run's folder: `metrics.csv` with the numbers of each step, `notes.json` with
what else is worth knowing. A row is there once it is written; a resumed run writes what follows its checkpoint again.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from speciate.files import write_json

__all__ = ["METRICS", "NOTES", "RunJournal", "metrics"]

METRICS, NOTES = "metrics.csv", "notes.json"
FIELDS = ("step", "time", "name", "value")

Listener = Callable[[int, dict[str, float]], None]


class RunJournal:
    """Numbers by step, and facts; `listeners` hear every row (trackers, pruning)."""

    def __init__(self, folder: Path, listeners: tuple[Listener, ...] = ()) -> None:
        self.folder, self.listeners = folder, listeners
        self.notes: dict[str, Any] = {}

    def write(self, step: int, **numbers: float) -> None:
        path = self.folder / METRICS
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


def notes(folder: Path) -> dict[str, Any]:
    path = folder / NOTES
    read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return read
