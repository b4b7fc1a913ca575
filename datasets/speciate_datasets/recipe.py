"""How rows become a batch, in the process that trains or in others: decoded, collated, and checked where asked."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from speciate_datasets.decoded import Decoded, keys
from speciate_datasets.rows import Columns, Rows, Where, plain

Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Recipe:
    """How positions become a batch, in this process or another."""

    decode: Callable[..., Any] | None
    collate: Callable[[list[Any]], Any] | None
    verify: tuple[str, ...]  # the columns that the id is the hash of
    seed: int
    augment: Callable[..., Any] | None = None
    cache: Path | None = None  # where decoded samples are kept
    cache_bytes: int = 0

    def kept(self) -> Decoded | None:
        """What this process keeps of decoded samples."""
        return Decoded(self.cache, self.cache_bytes) if self.cache else None

    def batch(self, rows: Rows, positions: Positions, small: Columns, epoch: int, kept: Decoded | None = None) -> Any:
        """The batch of these rows, of which the small columns are given."""
        if self.decode is None:
            return self._whole(rows, positions, small, epoch)
        if kept is None:
            samples = self._decoded(rows, positions, small, epoch)
        else:
            samples = self._kept(kept, rows, positions, small, epoch)
        if self.augment is not None:
            generators = (np.random.default_rng([self.seed, epoch, int(at), 1]) for at in positions)
            samples = [self.augment(sample, rng=rng) for sample, rng in zip(samples, generators, strict=True)]
        return samples if self.collate is None else self.collate(samples)

    def _whole(self, rows: Rows, positions: Positions, small: Columns, epoch: int) -> Columns:
        blobs = rows.blobs
        columns = {name: blobs[name].read(positions) if name in blobs else small[name] for name in rows.names}
        if self.verify and epoch == 0:
            rows.verify(positions, columns, self.verify)
        return columns

    def _decoded(self, rows: Rows, positions: Positions, small: Columns, epoch: int) -> list[Any]:
        columns = self._whole(rows, positions, small, epoch)
        values = [c if isinstance(c, list) else c.to_pylist() for c in columns.values()]
        records = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
        return [self._sample(row, epoch, int(at)) for row, at in zip(records, positions, strict=True)]

    def _kept(self, kept: Decoded, rows: Rows, positions: Positions, small: Columns, epoch: int) -> list[Any]:
        """Only what is not kept yet is read and decoded."""
        names = keys({name: column.to_pylist() for name, column in small.items()})
        samples = [kept.get(name) for name in names]
        missing = [i for i, sample in enumerate(samples) if sample is None]
        if missing:
            part = {name: column.take(pa.array(missing)) for name, column in small.items()}
            for i, sample in zip(missing, self._decoded(rows, positions[missing], part, epoch), strict=True):
                kept.put(names[i], sample)
                samples[i] = sample
        return samples

    def _sample(self, row: Mapping[str, Any], epoch: int, at: int) -> Any:
        """One row decoded; whatever is random in it hangs on the seed, the epoch and the row alone."""
        assert self.decode is not None
        if takes_rng(self.decode):
            return self.decode(row, rng=np.random.default_rng([self.seed, epoch, at]))
        return self.decode(row)


def takes_rng(decode: Callable[..., Any]) -> bool:
    try:
        return "rng" in inspect.signature(decode).parameters
    except (TypeError, ValueError):
        return False


_there: tuple[Rows, Recipe, Decoded | None] | None = None  # in a worker process: what it loads


def start(where: Where, recipe: Recipe) -> None:
    global _there
    kept = recipe.kept()
    _there = Rows(where), recipe, kept
    if kept is not None:
        Finalize(None, kept.close, exitpriority=1)


def make(positions: Positions, epoch: int) -> Any:
    assert _there is not None
    rows, recipe, kept = _there
    batch = recipe.batch(rows, positions, rows.small(positions), epoch, kept)
    if recipe.decode is None:  # a view cannot travel
        return {name: plain(column) if isinstance(column, list) else column for name, column in batch.items()}
    return batch


def random_states() -> list[bytes]:
    states = [repr(random.getstate()), repr(np.random.get_state())]
    torch = sys.modules.get("torch")
    return [state.encode() for state in states] + ([torch.get_rng_state().numpy().tobytes()] if torch else [])


def fingerprint(value: Any) -> bytes:
    """What a decoded sample says, as bytes."""
    if isinstance(value, Mapping):
        return b"".join(repr(key).encode() + fingerprint(value[key]) for key in value)
    if isinstance(value, list | tuple):
        return b"".join(map(fingerprint, value))
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, memoryview):
        return bytes(value)
    return repr(value).encode() if not isinstance(value, np.ndarray) else repr(value.shape).encode() + value.tobytes()
