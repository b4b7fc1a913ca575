"""Scores of answers that may name several labels: truth and answers are [rows, labels].

As in `scorers`, row i of a resample counts `weights[resample, i]` times, and nan says that a number is undefined.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speciate.task import Predictions
from speciate_evaluators.scorers import Array, blocks, mean, scorer

__all__ = ["hamming", "label_f1", "label_f1_micro", "label_map", "set_match"]

Flags = NDArray[np.bool_]


@scorer
def label_f1(predictions: Predictions, weights: Array) -> Array:
    """F1 a label, averaged over the labels that occur in the truth or in the answers of the resample."""
    hits, occurs = _counts(predictions, weights)
    f1 = np.divide(2 * hits, occurs, out=np.zeros_like(hits), where=occurs > 0)
    return _ratio(f1.sum(axis=1), (occurs > 0).sum(axis=1))


@scorer
def label_f1_micro(predictions: Predictions, weights: Array) -> Array:
    """F1 of all pairs of a row and a label together."""
    hits, occurs = _counts(predictions, weights)
    return _ratio(2 * hits.sum(axis=1), occurs.sum(axis=1))


@scorer
def label_map(predictions: Predictions, weights: Array) -> Array:
    """Average precision of each label's ranking of rows, averaged over the labels that some row has."""
    truth = predictions.targets > 0.5
    found = np.stack([_precision(p, yes, weights) for p, yes in zip(predictions.answers.T, truth.T, strict=True)])
    defined = ~np.isnan(found)
    return _ratio(np.where(defined, found, 0.0).sum(axis=0), defined.sum(axis=0))


@scorer
def set_match(predictions: Predictions, weights: Array) -> Array:
    """Share of rows with exactly the true labels."""
    truth, named = _decided(predictions)
    return mean(weights, (truth == named).all(axis=1))


@scorer
def hamming(predictions: Predictions, weights: Array) -> Array:
    """Share of the pairs of a row and a label that are wrong."""
    truth, named = _decided(predictions)
    return mean(weights, (truth != named).mean(axis=1))


def _decided(predictions: Predictions) -> tuple[Flags, Flags]:
    threshold = predictions.task.options.get("threshold", 0.5)
    return predictions.targets > 0.5, predictions.answers >= threshold


def _counts(predictions: Predictions, weights: Array) -> tuple[Array, Array]:
    """[resamples, labels]: how often a label is rightly named; how often it is true, and how often named."""
    truth, named = _decided(predictions)
    return weights @ (truth & named).astype(float), weights @ (truth.astype(float) + named)


def _precision(scores: Array, positive: Flags, weights: Array) -> Array:
    """Precision wherever the recall rises, weighted by how much; rows of one score come in together."""
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], positive[order]
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.full(len(weights), np.nan)
    for block in blocks(weights) if positive.any() else ():
        drawn = weights[block][:, order]
        above = drawn.cumsum(axis=1)[:, ends]
        right = (drawn * positive).cumsum(axis=1)[:, ends]
        precision = np.divide(right, above, out=np.zeros_like(right), where=above > 0)
        found[block] = _ratio((precision * np.diff(right, axis=1, prepend=0.0)).sum(axis=1), right[:, -1])
    return found


def _ratio(some: Array, all_: NDArray[np.float64] | NDArray[np.intp]) -> Array:
    found: Array = np.divide(some, all_, out=np.full(len(some), np.nan), where=all_ > 0)
    return found
