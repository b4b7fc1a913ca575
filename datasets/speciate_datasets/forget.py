"""Content that no version of any dataset has any more. Only `gc` takes it away, and nothing that is just written."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from speciate_datasets import contents, references
from speciate_datasets.keep import BLOBS
from speciate_datasets.store import Store

__all__ = ["forget_files", "forget_rows"]

DAY = 86_400.0


def forget_rows(store: Store, name: str) -> int:
    """Take away the large content of rows that no version of a dataset's table has; how many there were."""
    content = contents.table_of(name)
    if not store.exists(content):
        return 0
    with store.lock(name):  # who adds puts content there first, and then its rows
        left = store.scan(content, ["id"])["id"].combine_chunks()
        for version in store.sums(name).versions():
            if not len(left):
                return 0
            there = store.scan(name, ["id"], version)["id"].combine_chunks()
            left = left.filter(pc.invert(pc.is_in(left, there)))
        if len(left):
            store.delete(content, left.to_pylist())
        return len(left)


def forget_files(store: Store, older_than_days: float) -> int:
    """Delete the kept files that no row of any version points at, a day old at least; their bytes."""
    used: set[str] = set()
    for name in store.names():
        if name.startswith("dataset.") and references.file_column(store.open(name).schema):
            uris = [store.scan(name, ["uri"], version)["uri"].unique() for version in store.sums(name).versions()]
            used |= set(pa.chunked_array(uris).to_pylist())
    before = time.time() - max(older_than_days * DAY, DAY)
    spare = [path for path in _kept(store.root) if path.relative_to(store.root).as_posix() not in used]
    spare = [path for path in spare if path.stat().st_mtime < before]
    size = sum(path.stat().st_size for path in spare)
    for path in spare:
        path.unlink()
    return size


def _kept(root: Path) -> list[Path]:
    return [path for path in (root / BLOBS).glob("??/*") if path.is_file()]
