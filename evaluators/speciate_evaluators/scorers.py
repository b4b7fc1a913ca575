"""Scores of many bootstrap resamples at once: row i of a resample counts `weights[resample, i]` times.

Every scorer gives what scikit-learn gives on the resampled rows; nan says that the number is undefined on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from speciate.task import Predictions

__all__ = ["accuracy", "auroc", "ece", "log_loss", "macro_f1", "mae", "r2", "rmse"]

Array = NDArray[np.float64]
Scorer = Callable[[Predictions, Array], Array]

BINS = 15
SMALLEST = 1e-15  # a probability of zero would cost infinitely much
BLOCK = 1 << 18  # weights looked at together: 2 MB, so that temporary arrays stay near the core


def _scorer(score: Scorer) -> Scorer:
    """A scorer that says nan where there are no rows, or answers that are no numbers."""

    @functools.wraps(score)
    def checked(predictions: Predictions, weights: Array) -> Array:
        if len(predictions) == 0 or not np.isfinite(predictions.answers).all():
            return np.full(len(weights), np.nan)
        return score(predictions, weights)

    return checked


@_scorer
def accuracy(predictions: Predictions, weights: Array) -> Array:
    """Share of rows whose likeliest label is the true one."""
    return _mean(weights, predictions.answers.argmax(axis=1) == _truth(predictions))


@_scorer
def macro_f1(predictions: Predictions, weights: Array) -> Array:
    """F1 a label, averaged over the labels that occur in the truth or in the answers of the resample."""
    truth, answer = _truth(predictions), predictions.answers.argmax(axis=1)
    labels = predictions.answers.shape[1]
    hits = _totals(np.where(truth == answer, truth, labels), weights, labels + 1)[:, :labels]
    occurs = _totals(truth, weights, labels) + _totals(answer, weights, labels)
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    mean: Array = f1.sum(axis=1) / (occurs > 0).sum(axis=1)
    return mean


@_scorer
def auroc(predictions: Predictions, weights: Array) -> Array:
    """Area under the ROC curve of each label against the rest, averaged over the labels where there is one.

    A label without a row, or without a row of another label, has none. Of two labels only the second is ranked.
    """
    truth, labels = _truth(predictions), predictions.answers.shape[1]
    total, defined = np.zeros(len(weights)), np.zeros(len(weights))
    for label in (1,) if labels == 2 else range(labels):
        area = _area(predictions.answers[:, label], truth == label, weights)
        total += np.nan_to_num(area)
        defined += ~np.isnan(area)
    mean: Array = np.divide(total, defined, out=np.full(len(weights), np.nan), where=defined > 0)
    return mean


@_scorer
def log_loss(predictions: Predictions, weights: Array) -> Array:
    """Mean of -log of the probability given to the true label."""
    given = predictions.answers[np.arange(len(predictions)), _truth(predictions)]
    return _mean(weights, -np.log(np.clip(given, SMALLEST, 1 - SMALLEST)))


@_scorer
def ece(predictions: Predictions, weights: Array) -> Array:
    """Expected calibration error of the likeliest label: |accuracy - confidence|, averaged over 15 equal bins."""
    confidence = predictions.answers.max(axis=1)
    gap = (predictions.answers.argmax(axis=1) == _truth(predictions)) - confidence
    bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.intp)
    error: Array = np.abs(_totals(bins, weights, BINS, gap)).sum(axis=1) / weights.sum(axis=1)
    return error


@_scorer
def mae(predictions: Predictions, weights: Array) -> Array:
    """Mean absolute error."""
    return _mean(weights, np.abs(predictions.answers - predictions.targets))


@_scorer
def rmse(predictions: Predictions, weights: Array) -> Array:
    """Root of the mean squared error."""
    return np.sqrt(_mean(weights, np.square(predictions.answers - predictions.targets)))


@_scorer
def r2(predictions: Predictions, weights: Array) -> Array:
    """Share of the variance explained; of a constant, 1 if every answer is right and else 0, as scikit-learn has it."""
    residual = weights @ np.square(predictions.answers - predictions.targets)
    spread = np.array([_spread(predictions.targets, row) for row in weights])
    explained = 1 - np.divide(residual, spread, out=(residual > 0).astype(np.float64), where=spread > 0)
    return np.where(weights.sum(axis=1) < 2, np.nan, explained)


def _truth(predictions: Predictions) -> NDArray[np.intp]:
    return predictions.targets.astype(np.intp)


def _mean(weights: Array, values: NDArray[np.float64] | NDArray[np.bool_]) -> Array:
    mean: Array = (weights @ values.astype(np.float64)) / weights.sum(axis=1)
    return mean


def _totals(index: NDArray[np.intp], weights: Array, size: int, values: Array | None = None) -> Array:
    """[resamples, size]: the weight (times the value) of all rows with the same index."""
    return np.array([np.bincount(index, row if values is None else row * values, size) for row in weights])


def _spread(values: Array, weights: Array) -> float:
    """Sum of squares about the mean, exactly 0 for a constant: hence measured from one of the values."""
    centred = values - values[weights.argmax()]
    return float(weights @ np.square(centred - weights @ centred / weights.sum()))


def _area(scores: Array, positive: NDArray[np.bool_], weights: Array) -> Array:
    """One ROC area a resample: the weight of the (positive, negative) pairs in the right order, ties half.

    Ranking the positives against all rows counts the pairs among themselves too, and those are half of their square.
    """
    order = scores.argsort()
    below = np.searchsorted(scores, scores[positive], "left", sorter=order)
    upto = np.searchsorted(scores, scores[positive], "right", sorter=order)
    area = np.full(len(weights), np.nan)
    for block in _blocks(weights) if positive.any() else ():
        ranked = _running(weights[block].take(order, axis=1))
        pulled = weights[block][:, positive]
        won = np.einsum("bi,bi->b", pulled, ranked[:, below] + ranked[:, upto]) / 2
        yes = pulled.sum(axis=1)
        pairs = yes * (ranked[:, -1] - yes)
        np.divide(won - yes * yes / 2, pairs, out=area[block], where=pairs > 0)
    return area


def _running(values: Array) -> Array:
    """Cumulative sums of each row, from 0."""
    sums = np.zeros((values.shape[0], values.shape[1] + 1))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _blocks(weights: Array) -> Iterator[slice]:
    """Slices of resamples, so that temporary arrays stay small however many rows there are."""
    step = max(1, BLOCK // weights.shape[1])
    return (slice(start, start + step) for start in range(0, len(weights), step))
