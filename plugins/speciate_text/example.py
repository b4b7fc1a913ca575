"""Small good files of every kind the text format knows, for the conformance kit and for trying things out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

__all__ = ["ROWS", "write"]

ROWS = [
    {"text": "The pump stopped after a loud bang.", "label": "fault", "site": "north"},
    {"text": "Pressure is back to normal, no action needed.", "label": "fine", "site": "north"},
    {"text": 'Leak at valve 7, "again"; crew sent.\nSee photo.', "label": "fault", "site": "süd"},
    {"text": "Weekly check done, all gauges in the green.", "label": "fine", "site": "süd"},
]


def write(folder: Path) -> list[Path]:
    """Write them; each kind has texts of its own, so that nothing is a duplicate."""
    import pyarrow
    from pyarrow import parquet

    lines = folder / "notes.jsonl"
    lines.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _rows("a")), encoding="utf-8")
    written = [lines]
    for name, delimiter in (("notes.csv", ","), ("notes.tsv", "\t")):
        with (folder / name).open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(ROWS[0]), delimiter=delimiter)
            table.writeheader()
            table.writerows(_rows(name[-3]))
        written.append(folder / name)
    parquet.write_table(pyarrow.Table.from_pylist(_rows("p")), folder / "notes.parquet")
    written.append(folder / "notes.parquet")
    for i, row in enumerate(_rows("d")):
        document = folder / row["label"] / f"{i}.txt"
        document.parent.mkdir(exist_ok=True)
        document.write_text(row["text"], encoding="utf-8")
        written.append(document)
    return written


def _rows(mark: str) -> list[dict[str, str]]:
    return [row | {"text": f"{row['text']} ({mark}{i})"} for i, row in enumerate(ROWS)]
