"""The order in which an epoch takes rows: each once, or drawn by weight; rows that belong together side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from speciate_datasets.recipe import Positions

__all__ = ["drawn", "grouped"]


def drawn(
    rng: np.random.Generator,
    n: int,
    balance: Mapping[str, float] | None = None,
    together: tuple[Mapping[str, str], int] | None = None,
) -> Positions:
    """A permutation of n rows; with `balance` as many draws, each row as often as it weighs. Both name rows by id, and
    rows stand in the order of their ids."""
    if balance is None:
        order = rng.permutation(n)
    else:
        weights = np.array([balance[key] for key in sorted(balance)])
        order = rng.choice(n, n, p=weights / weights.sum())
    if together is None or together[1] < 2:
        return order
    keys, size = together
    return grouped(order, [keys[key] for key in sorted(keys)], size)


def grouped(order: Positions, keys: Sequence[str], size: int) -> Positions:
    """The same rows, so that `size` of one key stand side by side, each run where its first row stood; what is left of
    each key, fewer than a run, comes at the end. `keys` are those of row 0, 1, 2 …

    >>> grouped(np.array([3, 0, 2, 1]), ["a", "b", "a", "b"], 2).tolist()
    [3, 1, 0, 2]
    """
    key = np.unique(np.array(keys), return_inverse=True)[1][order]
    by_key = np.argsort(key, kind="stable")  # places in the order, key after key
    firsts = np.flatnonzero(np.diff(key[by_key], prepend=-1))
    number = np.arange(len(order)) - np.repeat(firsts, np.diff(firsts, append=len(order)))  # of a row in its key
    run = np.cumsum(number % size == 0) - 1
    start = by_key[number % size == 0][run]
    short = np.bincount(run)[run] < size
    found: Positions = order[by_key[np.lexsort((number, start, short))]]
    return found
