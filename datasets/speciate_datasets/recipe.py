"""How rows become a batch, in the process that trains or in others: decoded, collated, and checked where asked."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_datasets.rows import Columns, Rows, Where, plain

Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Recipe:
    """How positions become a batch, in this process or another."""

    decode: Callable[..., Any] | None
    collate: Callable[[list[Any]], Any] | None
    verify: tuple[str, ...]  # the columns that the id is the hash of
    seed: int

    def batch(self, rows: Rows, positions: Positions, columns: Columns, epoch: int) -> Any:
        if self.verify and epoch == 0:
            rows.verify(positions, columns, self.verify)
        if self.decode is None:
            return columns
        values = [c if isinstance(c, list) else c.to_pylist() for c in columns.values()]
        records = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
        samples = [self.sample(row, epoch, int(at)) for row, at in zip(records, positions, strict=True)]
        return samples if self.collate is None else self.collate(samples)

    def sample(self, row: Mapping[str, Any], epoch: int, at: int) -> Any:
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


_there: tuple[Rows, Recipe] | None = None  # in a worker process: what it loads


def start(where: Where, recipe: Recipe) -> None:
    global _there
    _there = Rows(where), recipe


def make(positions: Positions, epoch: int) -> Any:
    assert _there is not None
    rows, recipe = _there
    columns = rows.take(positions)
    if recipe.decode is None:  # a view cannot travel
        columns = {name: plain(column) if isinstance(column, list) else column for name, column in columns.items()}
    return recipe.batch(rows, positions, columns, epoch)


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
