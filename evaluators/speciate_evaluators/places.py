"""Scores of what is said of each place: masks, and labels of residues. Counted once a row; resamples weigh the counts.

Of masks a row is one value, its mean over the classes that are in its truth or in its answer; a row with none of them
in either is 1. Labels of residues are counted over all rows: longer ones count as much as they are long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate.masks import resized, values_of
from speciate.task import Predictions

__all__ = ["dice", "iou", "tag_accuracy", "tag_macro_f1"]

Array = NDArray[np.float64]


def dice(predictions: Predictions, weights: Array) -> Array:
    """2 |A and B| / (|A| + |B|)."""
    shared, said, true = _overlaps(predictions)
    return _rows(2 * shared, said + true, weights)


def iou(predictions: Predictions, weights: Array) -> Array:
    """|A and B| / |A or B|."""
    shared, said, true = _overlaps(predictions)
    return _rows(shared, said + true - shared, weights)


def tag_accuracy(predictions: Predictions, weights: Array) -> Array:
    """Share of residues with a known label that got it."""
    shared, _, true = _tags(predictions)
    return _share(weights @ shared.sum(axis=1), weights @ true.sum(axis=1))


def tag_macro_f1(predictions: Predictions, weights: Array) -> Array:
    """F1 a label over all residues, averaged over the labels that occur in the truth or in the answers."""
    shared, said, true = (weights @ counts for counts in _tags(predictions))
    occurs = said + true
    f1 = np.divide(2 * shared, occurs, out=np.zeros_like(occurs), where=occurs > 0)
    return _share(f1.sum(axis=1), (occurs > 0).sum(axis=1))


def _overlaps(predictions: Predictions) -> tuple[Array, Array, Array]:
    """[rows, classes but background]: places in both, in the answer, in the truth."""
    labels = predictions.task.labels
    found = np.zeros((3, len(predictions), len(labels)))
    for i, (answer, target) in enumerate(zip(predictions.answers, predictions.targets, strict=True)):
        truth = values_of(target, labels)
        given = resized(answer, truth.shape)
        found[:, i] = _counts(given.ravel(), truth.ravel(), len(labels))
    shared, said, true = found[:, :, 1:]
    return shared, said, true


def _tags(predictions: Predictions) -> tuple[Array, Array, Array]:
    """[rows, labels]: residues of which both say it, of which the answer does, of which the truth does."""
    found = np.zeros((3, len(predictions), len(predictions.task.labels)))
    for i, (answer, truth) in enumerate(zip(predictions.answers, predictions.targets, strict=True)):
        if len(answer) not in (1, len(truth)):
            asked = f"row {i} has labels for {len(truth)} residues and answers for {len(answer)}"
            raise SpeciateError(asked, "a label has a letter for each residue", "mend or drop the row")
        known = truth >= 0
        given = resized(answer, truth.shape)
        found[:, i] = _counts(given[known], truth[known], found.shape[2])
    shared, said, true = found
    return shared, said, true


def _counts(given: NDArray[np.integer], truth: NDArray[np.integer], labels: int) -> Array:
    """Of each label: how often both say it, how often the answer does, how often the truth does."""
    both = np.bincount(given.astype(np.intp) * labels + truth, minlength=labels**2).reshape(labels, labels)
    return np.array([both.diagonal(), both.sum(axis=1), both.sum(axis=0)], dtype=np.float64)


def _rows(part: Array, whole: Array, weights: Array) -> Array:
    """The mean over rows of their mean over the classes that occur in them."""
    each = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0).sum(axis=1)
    classes = (whole > 0).sum(axis=1)
    values = np.divide(each, classes, out=np.ones_like(each), where=classes > 0)
    return _share(weights @ values, weights.sum(axis=1))


def _share(part: Array, whole: Array) -> Array:
    """nan where there is nothing to take a share of."""
    shares: Array = np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
    return shares
