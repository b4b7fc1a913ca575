"""Scores of vectors: each row asks for its nearest among all the other rows, and finds those of its label, or not.

A resample draws which rows ask; those that are looked among stay the same, so a row drawn twice does not find itself.
Rows at the same distance come in any order, and a score is what can be expected of them: where all vectors are the
same, it is that of chance. A row that no other has the label of is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from speciate.task import Predictions
from speciate_evaluators.scorers import Array, scorer

__all__ = ["recall_at_1", "recall_at_5", "retrieval_map"]

BLOCK = 1 << 22  # similarities held at once
DIGITS = 12  # of a similarity: beyond them a sum depends on the order of its parts


@scorer
def recall_at_1(predictions: Predictions, weights: Array) -> Array:
    """Share of rows whose nearest is of their label."""
    return _asked(predictions, weights, predictions.whole.once(_first))


@scorer
def recall_at_5(predictions: Predictions, weights: Array) -> Array:
    """Share of rows with one of their label among the five nearest."""
    return _asked(predictions, weights, predictions.whole.once(_five))


@scorer
def retrieval_map(predictions: Predictions, weights: Array) -> Array:
    """Average precision of what each row finds, nearest first."""
    return _asked(predictions, weights, predictions.whole.once(_ranked))


def _asked(predictions: Predictions, weights: Array, found: Array) -> Array:
    """The mean over the rows that could be asked."""
    found = found[predictions.rows]
    defined = ~np.isnan(found)
    count = weights @ defined.astype(float)
    total = weights @ np.where(defined, found, 0.0)
    average: Array = np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)
    return average


def _first(predictions: Predictions) -> Array:
    return _recall(predictions, 1)


def _five(predictions: Predictions) -> Array:
    return _recall(predictions, 5)


def _recall(predictions: Predictions, k: int) -> Array:
    """Of each row, the chance that one of its label is among the k nearest."""
    return np.concatenate([_within(near, same, k) for near, same in _neighbours(predictions)])


def _within(near: Array, same: NDArray[np.bool_], k: int) -> Array:
    best = np.where(same, near, -np.inf).max(axis=1)
    tied = near == best[:, None]
    places = k - (near > best[:, None]).sum(axis=1)  # left for those that are as near as the nearest of the label
    alike, right = tied.sum(axis=1), (tied & same).sum(axis=1)
    missed = np.ones(len(near))
    for i in range(k):
        share = (alike - right - i).clip(min=0) / (alike - i).clip(min=1)
        missed *= np.where(i < np.minimum(places, alike), share, 1.0)
    return np.where(same.any(axis=1), 1 - missed, np.nan)


def _ranked(predictions: Predictions) -> Array:
    return np.concatenate([_precision(near, same) for near, same in _neighbours(predictions)])


def _precision(near: Array, same: NDArray[np.bool_]) -> Array:
    """Average precision, rows at the same distance taken together."""
    order = np.argsort(-near, axis=1, kind="stable")
    ranked, right = np.take_along_axis(near, order, 1), np.take_along_axis(same, order, 1)
    n = near.shape[1]
    last = np.ones(near.shape, dtype=bool)
    last[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
    ends = np.minimum.accumulate(np.where(last, np.arange(n), n)[:, ::-1], axis=1)[:, ::-1]
    precision = np.take_along_axis(right.cumsum(axis=1), ends, 1) / (ends + 1)
    count = right.sum(axis=1)
    average: Array = np.divide((precision * right).sum(axis=1), count, out=np.full(len(near), np.nan), where=count > 0)
    return average


def _neighbours(predictions: Predictions) -> Iterator[tuple[Array, NDArray[np.bool_]]]:
    """For some rows at a time, how near every row is, itself never, and whether it is another of the label."""
    lengths = np.linalg.norm(predictions.answers, axis=1, keepdims=True)
    vectors, labels, n = predictions.answers / np.maximum(lengths, 1e-12), predictions.targets, len(predictions)
    step = max(1, BLOCK // n)
    for start in range(0, n, step):
        some = np.arange(start, min(n, start + step))
        near = np.round(vectors[some] @ vectors.T, DIGITS)
        same = labels[some][:, None] == labels[None, :]
        near[np.arange(len(some)), some], same[np.arange(len(some)), some] = -np.inf, False
        yield near, same
