"""Scores of many bootstrap resamples at once: row i of a resample counts `weights[resample, i]` times.

Every scorer gives what scikit-learn gives on the resampled rows; nan says that the number is undefined on them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from speciate.task import Predictions

__all__ = ["accuracy", "auroc", "coverage", "ece", "log_loss", "macro_f1", "mae", "nll", "r2", "rmse"]

Array = NDArray[np.float64]
Scorer = Callable[[Predictions, Array], Array]

BINS = 15
SMALLEST = 1e-15  # a probability of zero would cost infinitely much
NINETY = 1.6448536269514722  # standard deviations to either side that hold 90% of a normal distribution
BLOCK = 1 << 18  # weights looked at together: 2 MB, so that temporary arrays stay near the core


def scorer(score: Scorer) -> Scorer:
    """A scorer that says nan where there are no rows, or answers that are no numbers."""

    @functools.wraps(score)
    def checked(predictions: Predictions, weights: Array) -> Array:
        if len(predictions) == 0 or not np.isfinite(predictions.answers).all():
            return np.full(len(weights), np.nan)
        return score(predictions, weights)

    return checked


@scorer
def accuracy(predictions: Predictions, weights: Array) -> Array:
    """Share of rows whose likeliest label is the true one."""
    return mean(weights, predictions.answers.argmax(axis=1) == _truth(predictions))


@scorer
def macro_f1(predictions: Predictions, weights: Array) -> Array:
    """F1 a label, averaged over the labels that occur in the truth or in the answers of the resample."""
    truth, answer = _truth(predictions), predictions.answers.argmax(axis=1)
    labels = predictions.answers.shape[1]
    hits = _totals(np.where(truth == answer, truth, labels), weights, labels + 1)[:, :labels]
    occurs = _totals(truth, weights, labels) + _totals(answer, weights, labels)
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    average: Array = f1.sum(axis=1) / (occurs > 0).sum(axis=1)
    return average


@scorer
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
    average: Array = np.divide(total, defined, out=np.full(len(weights), np.nan), where=defined > 0)
    return average


@scorer
def log_loss(predictions: Predictions, weights: Array) -> Array:
    """Mean of -log of the probability given to the true label."""
    given = predictions.answers[np.arange(len(predictions)), _truth(predictions)]
    return mean(weights, -np.log(np.clip(given, SMALLEST, 1 - SMALLEST)))


@scorer
def ece(predictions: Predictions, weights: Array) -> Array:
    """Expected calibration error of the likeliest label: |accuracy - confidence|, averaged over 15 equal bins."""
    confidence = predictions.answers.max(axis=1)
    gap = (predictions.answers.argmax(axis=1) == _truth(predictions)) - confidence
    bins = np.clip(np.ceil(confidence * BINS) - 1, 0, BINS - 1).astype(np.intp)
    error: Array = np.abs(_totals(bins, weights, BINS, gap)).sum(axis=1) / weights.sum(axis=1)
    return error


@scorer
def mae(predictions: Predictions, weights: Array) -> Array:
    """Mean absolute error; of several values the mean of theirs, here and below."""
    answers, targets = _values(predictions)
    return mean(weights, np.abs(answers - targets).mean(axis=1))


@scorer
def rmse(predictions: Predictions, weights: Array) -> Array:
    """Root of the mean squared error."""
    answers, targets = _values(predictions)
    each = [np.sqrt(mean(weights, np.square(a - t))) for a, t in zip(answers.T, targets.T, strict=True)]
    return np.asarray(np.mean(each, axis=0))


@scorer
def r2(predictions: Predictions, weights: Array) -> Array:
    """Share of the variance explained; of a constant, 1 if every answer is right and else 0, as scikit-learn has it."""
    answers, targets = _values(predictions)
    each = [_explained(a, t, weights) for a, t in zip(answers.T, targets.T, strict=True)]
    return np.where(weights.sum(axis=1) < 2, np.nan, np.mean(each, axis=0))


@scorer
def nll(predictions: Predictions, weights: Array) -> Array:
    """Surprise at the truth, in nats, of a normal distribution about the answer as wide as the answer says."""
    (answers, targets), std = _values(predictions), _spreads(predictions)
    off = (answers - targets) / std
    return mean(weights, (np.square(off) / 2 + np.log(std) + np.log(2 * np.pi) / 2).mean(axis=1))


@scorer
def coverage(predictions: Predictions, weights: Array) -> Array:
    """Share of truths inside the interval that should hold 90% of them."""
    (answers, targets), std = _values(predictions), _spreads(predictions)
    return mean(weights, (np.abs(answers - targets) <= NINETY * std).mean(axis=1))


def _values(predictions: Predictions) -> tuple[Array, Array]:
    """[rows, values] of the answers and of the truth; without their spreads, where answers have some."""
    answers, targets, n = predictions.answers, predictions.targets, len(predictions)
    return (answers if answers.ndim == targets.ndim else answers[..., 0]).reshape(n, -1), targets.reshape(n, -1)


def _spreads(predictions: Predictions) -> Array:
    spread: Array = predictions.answers[..., 1].reshape(len(predictions), -1)
    return np.maximum(spread, SMALLEST)


def _explained(answers: Array, targets: Array, weights: Array) -> Array:
    residual = weights @ np.square(answers - targets)
    spread = np.array([_spread(targets, row) for row in weights])
    explained: Array = 1 - np.divide(residual, spread, out=(residual > 0).astype(np.float64), where=spread > 0)
    return explained


def _truth(predictions: Predictions) -> NDArray[np.intp]:
    return predictions.targets.astype(np.intp)


def mean(weights: Array, values: NDArray[np.float64] | NDArray[np.bool_]) -> Array:
    average: Array = (weights @ values.astype(np.float64)) / weights.sum(axis=1)
    return average


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
    for block in blocks(weights) if positive.any() else ():
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


def blocks(weights: Array) -> Iterator[slice]:
    """Slices of resamples, so that temporary arrays stay small however many rows there are."""
    step = max(1, BLOCK // weights.shape[1])
    return (slice(start, start + step) for start in range(0, len(weights), step))
