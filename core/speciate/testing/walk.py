"""Data so easy that a model which learns nothing from it is broken, and the walk from it to a Model."""

from __future__ import annotations

import csv
from pathlib import Path

from speciate.catalog import Catalog
from speciate.workspace import Workspace

__all__ = ["easy", "walk"]

SAYINGS = {  # by task: a label and what its texts say
    "classify": {"good": "runs smooth and quiet all day", "bad": "broke down again with smoke and noise"},
    "regress": {"1": "stone cold", "5": "a little warm", "9": "burning hot, do not touch"},
}


def easy(folder: Path, task: str, rows: int = 60) -> Path:
    """A CSV of texts and labels that anybody can tell."""
    sayings = list(SAYINGS[task].items())
    path = folder / f"{task}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["text", "label"])
        for i in range(rows):
            label, saying = sayings[i % len(sayings)]
            lines.writerow([f"machine number {i} {saying}", label])
    return path


def walk(folder: Path, catalog: Catalog, task: str) -> Workspace:
    """A workspace with the dataset `easy`."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(folder / "workspace", catalog=catalog, quiet=True)
    workspace.add("easy", easy(folder, task))
    return workspace
