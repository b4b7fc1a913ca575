"""Watching a run of another process: the rows of its journal as lines, until it ends."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from speciate.journal import METRICS

__all__ = ["follow", "running"]

WAIT = 0.5  # seconds between two looks


def running(folder: Path) -> bool:
    """Whether a process holds the run now."""
    from filelock import FileLock, Timeout

    lock = folder / "run.lock"
    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0):
            return False
    except Timeout:
        return True


def follow(folder: Path, say: Callable[[str], None]) -> None:
    """One line for each row of the journal, those of before first; returns once nobody holds the run."""
    place, free = 0, 0
    while True:
        going = running(folder)
        place = _new(folder / METRICS, place, say)
        free = 0 if going else free + 1
        if free == 2:  # once may be the moment before it begins
            return
        time.sleep(WAIT)


def _new(path: Path, place: int, say: Callable[[str], None]) -> int:
    """Say the whole lines after a place in the file; returns where the next begin."""
    if not path.exists():
        return place
    with path.open("rb") as file:
        file.seek(place)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    for step, numbers in _rows(whole.decode("utf-8", "replace")):
        say(f"step {step}: " + ", ".join(numbers))
    return place + len(whole)


def _rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """Numbers of one step."""
    last, numbers = "", list[str]()
    for row in csv.reader(text.splitlines()):
        if len(row) != 4 or row[0] == "step":  # the head, or what a kill cut short
            continue
        if row[0] != last and numbers:
            yield last, numbers
            numbers = []
        last = row[0]
        numbers.append(f"{row[2]} {float(row[3]):.4g}")
    if numbers:
        yield last, numbers
