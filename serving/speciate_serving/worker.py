"""One thread that computes, with a bounded line in front of it, so that the event loop is always free.

Whatever has this `do` can take its place: a micro-batcher would join the work of several callers.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Full", "Gone", "Worker"]

T = TypeVar("T")


class Full(Exception):
    """The line is as long as it may be."""


class Gone(Exception):
    """Nobody waits for the answer any more, so it was not computed."""


class Worker:
    """Runs one piece of work at a time. May be used from several event loops."""

    def __init__(self, max_waiting: int) -> None:
        self.max_waiting = max_waiting
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._lock = threading.Lock()
        self._present = 0  # in line or at work

    @property
    def waiting(self) -> int:
        return max(0, self._present - 1)

    def check(self) -> None:
        """Raise Full if there is no place: asked before a body is read, so that nobody uploads in vain."""
        if self._present > self.max_waiting:
            raise Full(self.max_waiting)

    async def do(self, work: Callable[[], T], gone: Callable[[], Coroutine[Any, Any, None]]) -> T:
        """The result of the work, when its turn has come; `gone()` returns if nobody wants it any more."""
        future = self._line_up(work)
        answer: asyncio.Future[T] = asyncio.wrap_future(future)
        left = asyncio.ensure_future(gone())
        try:
            either: tuple[asyncio.Future[Any], ...] = (answer, left)
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and future.cancel():
                raise Gone
            return await answer  # what has begun is waited for: it uses files that its caller deletes
        finally:
            left.cancel()
            answer.cancel()

    def _line_up(self, work: Callable[[], T]) -> Future[T]:
        with self._lock:
            self.check()
            self._present += 1
        future = self._pool.submit(_contained, work)
        future.add_done_callback(self._leave)
        return future

    def _leave(self, future: Future[T]) -> None:
        with self._lock:
            self._present -= 1


def _contained(work: Callable[[], T]) -> T:
    """Some exceptions mean something to an event loop: they would hang it or end it."""
    try:
        return work()
    except (StopIteration, SystemExit, KeyboardInterrupt, asyncio.CancelledError) as error:
        raise RuntimeError(f"the model raised {error!r}") from error
