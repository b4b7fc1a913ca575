"""Work that is done ahead of who asks for it: in a thread, and in memory that a GPU can copy from."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class Ahead:
    """An iterator that is run in a thread, some items ahead. Errors arrive in their place; leaving ends the thread."""

    def __init__(self, items: Iterator[Any], depth: int) -> None:
        self._items, self._queue = items, queue.Queue[tuple[str, Any]](max(1, depth))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="speciate-ahead", daemon=True) if depth else None

    def __enter__(self) -> Iterable[Any]:
        if self._thread is None:
            return self._items
        self._thread.start()
        return self._given()

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        close = getattr(self._items, "close", None)
        if close is not None:
            close()

    def _given(self) -> Iterator[Any]:
        while True:
            kind, item = self._queue.get()
            if kind == "item":
                yield item
            elif kind == "error":
                raise item
            else:
                return
            del item  # its buffer may be used again

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    return
                del item
            self._put("end", None)
        except BaseException as error:
            self._put("error", error)

    def _put(self, kind: str, item: Any) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put((kind, item), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False


def pinned(batch: Any) -> Any:
    """The tensors of a batch in memory that a GPU can copy from while others compute."""
    if hasattr(batch, "pin_memory"):
        return batch.pin_memory()
    if isinstance(batch, Mapping):
        return {key: pinned(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple) and not hasattr(batch, "_fields"):
        return type(batch)(pinned(value) for value in batch)
    return batch
