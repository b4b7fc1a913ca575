"""Tidying: small files put together, old versions cleaned away. Only `gc` does it, never a write.

A tagged version and the newest one of a dataset are never cleaned. Lance alone refuses to clean past a tag, so it stops
before the oldest version that is kept; with pylance installed it cleans those between, too. `delete_unverified` is
never used: it deletes what a writer is just writing.
"""

from __future__ import annotations

import importlib.util
import random
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

from speciate_datasets.store import Store

TRIES, WAIT = 5, 0.2
NEVER, MOMENT = timedelta(days=36_500), timedelta(milliseconds=1)
MARGINS = (0.02, 1.0, 60.0)  # seconds that Lance may take until it looks at the clock
HOLD = "gc-holds-this"  # the tag that keeps the newest content while pylance cleans


def tidy(store: Store, name: str, older_than_days: float, kept: Iterable[int]) -> dict[str, Any]:
    """Compact a table and clean its old versions; says what was done and what was not."""
    with store.lock(name):
        before, size = store.sums(name).versions(), _size(store.sums(name).folder)
        with store.commit(name, size):
            if HOLD in (tags := store.raw(name).tags).list():  # a gc was killed
                tags.delete(HOLD)
            _again(lambda: store.raw(name).optimize(cleanup_older_than=NEVER))
        stop = _clean(store, name, timedelta(days=older_than_days), {*kept, *_tagged(store, name).values()})
        after = store.sums(name).versions()
        store.sums(name).prune()
        return {
            "table": name,
            "versions": len(after),
            "cleaned": len(set(before) - set(after)),
            "bytes_change": _size(store.sums(name).folder) - size,
            "note": stop,
        }


def _clean(store: Store, name: str, age: timedelta, kept: set[int]) -> str:
    table = store.raw(name)
    times = {int(found["version"]): found["timestamp"].timestamp() for found in table.list_versions()}
    now = time.time()
    oldest = min((times[version] for version in kept if version in times), default=now)
    blocked = now - oldest > age.total_seconds()
    if blocked and importlib.util.find_spec("lance"):
        return _with_pylance(store, name, age, max(kept & times.keys()))
    for margin in MARGINS:
        reach = max(age, timedelta(seconds=time.time() - oldest + margin)) if blocked else age
        try:
            with store.commit(name), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about an age of nothing, which the person asked for
                _again(lambda r=reach: store.raw(name).optimize(cleanup_older_than=max(r, MOMENT)))  # type: ignore[misc]
            break
        except RuntimeError as error:
            if "tagged version" not in str(error) or margin == MARGINS[-1]:
                raise
    return "versions newer than the oldest one that is kept stay; pylance cleans those, too" if blocked else ""


def _with_pylance(store: Store, name: str, age: timedelta, newest: int) -> str:
    with store.commit(name):
        table = store.raw(name)
        table.tags.create(HOLD, newest)
        _again(
            lambda: table.to_lance().cleanup_old_versions(
                older_than=age, delete_unverified=False, error_if_tagged_old_versions=False
            )
        )
        table.tags.delete(HOLD)
    return ""


def _again(work: Callable[[], Any]) -> None:
    """Lance's own retries give up when a writer of another program is faster."""
    for turn in range(TRIES):
        try:
            work()
            return
        except RuntimeError as error:
            if turn == TRIES - 1 or "conflict" not in str(error).lower():
                raise
            time.sleep(WAIT * 2**turn * (1 + random.random()))  # noqa: S311  (not a secret)


def _tagged(store: Store, name: str) -> dict[str, int]:
    return {tag: int(found["version"]) for tag, found in store.raw(name).tags.list().items()}


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
