"""Data so easy that a model which learns nothing from it is broken, and the walk from it to a Model."""

from __future__ import annotations

import csv
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from speciate.catalog import Catalog
from speciate.workspace import Workspace

__all__ = ["LABELS", "easy", "pictures", "walk"]

SAYINGS = {  # by task: a label and what its texts say
    "classify": {"good": "runs smooth and quiet all day", "bad": "broke down again with smoke and noise"},
    "regress": {"1": "stone cold", "5": "a little warm", "9": "burning hot, do not touch"},
}
LABELS = "labels.csv"  # the file that says what pictures show
SIDE = 16  # of a picture


def easy(folder: Path, task: str, rows: int = 60, labels: Sequence[str] = ()) -> Path:
    """A CSV of texts and labels that anybody can tell; other tasks say which labels they take."""
    sayings = SAYINGS.get(task) or {label: _saying(label) for label in labels}
    path = folder / f"{task}.csv"
    lines = [(f"machine number {i} {sayings[label]}", label) for i, label in _dealt(list(sayings), rows)]
    _write(path, ("text", "label"), lines)
    return path


def pictures(folder: Path, labels: Sequence[str], rows: int = 60) -> list[Path]:
    """Small bitmaps of a colour for each label, no two alike, and the label file that goes with them."""
    paths = []
    for i, label in _dealt(labels, rows):
        paths.append(folder / f"{i:03}.bmp")
        colour, noise = _chance(label).integers(40, 216, 3), np.random.default_rng(i).integers(-30, 31, (SIDE, SIDE, 3))
        paths[-1].write_bytes(_bitmap((colour + noise).astype(np.uint8).tobytes()))
    _write(folder / LABELS, ("file", "label"), [(f"{i:03}.bmp", label) for i, label in _dealt(labels, rows)])
    return [*paths, folder / LABELS]


def walk(folder: Path, catalog: Catalog, task: str) -> Workspace:
    """A workspace with the dataset `easy`."""
    folder.mkdir(parents=True, exist_ok=True)
    workspace = Workspace(folder / "workspace", catalog=catalog, quiet=True)
    workspace.add("easy", easy(folder, task))
    return workspace


def _dealt(labels: Sequence[str], rows: int) -> list[tuple[int, str]]:
    """Every label as often as the others."""
    return [(i, labels[i % len(labels)]) for i in range(rows)]


def _saying(label: str) -> str:
    """Words of a label's own."""
    letters = _chance(label).integers(ord("a"), ord("z") + 1, (5, 6))
    return " ".join("".join(map(chr, word)) for word in letters)


def _chance(label: str) -> np.random.Generator:
    return np.random.default_rng([1, *label.encode()])


def _bitmap(pixels: bytes) -> bytes:
    """A BMP."""
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 24, 0, len(pixels), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels


def _write(path: Path, names: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([names, *lines])
