"""Progress on stderr: a bar with ETA for what takes over two seconds, where a person looks; and the stage times."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["StageClock"]

PATIENCE = 2.0  # seconds without a bar


class StageClock:
    """Times stages by name and shows bars; the Progress that core hands to readers, engines and trainers."""

    def __init__(self, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._shown = sys.stderr.isatty() and not quiet

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - start, 3)

    @contextmanager
    def track(self, what: str, total: int) -> Iterator[Callable[..., None]]:
        bar = _Bar(what, total) if self._shown else None
        try:
            yield bar.tick if bar else _nothing
        finally:
            if bar:
                bar.close()


class _Bar:
    """A rich bar that is made only once it is due."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total, self.done, self.start = what, total, 0, time.monotonic()
        self._rich: Any = None

    def tick(self, done: int, note: str = "") -> None:
        self.done += done
        if self._rich is None and time.monotonic() - self.start > PATIENCE:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._rich = Progress(*columns, console=Console(stderr=True), transient=True)
            self._rich.add_task(self.what, total=self.total, completed=self.done)
            self._rich.start()
        if self._rich is not None:
            said = {"description": f"{self.what}: {note}"} if note else {}
            self._rich.update(self._rich.task_ids[0], completed=self.done, **said)

    def close(self) -> None:
        if self._rich is not None:
            self._rich.stop()


def _nothing(_: int, note: str = "") -> None:
    return None
