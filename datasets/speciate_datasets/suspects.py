"""Rows that their vectors speak against: unlike all others, or labelled unlike their likes. Numpy alone."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Vectors = NDArray[np.float32]

NEIGHBOURS = 5
REFERENCES = 4096  # rows that others are held against
CHUNK = 4096
FOLDS = 5
FAR = 5.0  # robust standard deviations from the usual distance
RIDGE = 1.0  # of the mean eigenvalue
MOST_LABELS = 1000
SURE = 0.7  # of how sure the probe is of a label on the rows that have it


def outliers(vectors: Vectors) -> tuple[Numbers, NDArray[np.float64]]:
    """Rows far from their nearest rows, farthest first, and 1 - cosine to the fifth nearest."""
    unit = _unit(vectors)
    chosen = np.random.default_rng(0).permutation(len(unit))[:REFERENCES]
    others = unit[chosen]
    own = np.full(len(unit), -1)
    own[chosen] = np.arange(len(chosen))
    nearest = min(NEIGHBOURS, len(others) - 1)
    distance = np.empty(len(unit))
    for start in range(0, len(unit), CHUNK):
        cosines = unit[start : start + CHUNK] @ others.T
        mine = own[start : start + CHUNK]
        here = np.flatnonzero(mine >= 0)
        cosines[here, mine[here]] = -2.0
        distance[start : start + CHUNK] = 1 - np.partition(cosines, -nearest, axis=1)[:, -nearest]
    middle = np.median(distance)
    spread = 1.4826 * np.median(np.abs(distance - middle))
    order = np.argsort(-distance, kind="stable")
    far = order[distance[order] > middle + FAR * max(spread, 1e-6)]
    return far, distance[far]


def unlikely(
    vectors: Vectors, labels: NDArray[Any], groups: NDArray[Any]
) -> tuple[Numbers, NDArray[Any], NDArray[np.float64]]:
    """Rows that a probe which never saw them labels otherwise, surest first; what it says, and by how much more.

    The probe is ridge regression on one-hot labels, five folds with groups whole. As in confident learning, it must be
    nearly as sure of the other label as it is of that label's own rows.
    """
    known = np.flatnonzero(labels != "")
    names, codes = np.unique(labels[known], return_inverse=True)
    nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=str), np.empty(0)
    if not 2 <= len(names) <= min(MOST_LABELS, len(known) // 2):
        return nothing
    folds = np.array([_fold(groups[i] or f"{i}") for i in known])
    scores = _held_out(_unit(vectors[known]), codes, len(names), folds)
    own = scores[np.arange(len(codes)), codes]
    usual = np.bincount(codes, own, len(names)) / np.bincount(codes, minlength=len(names))
    sure = np.where(scores >= SURE * usual, scores, -np.inf)
    best = sure.argmax(axis=1)
    margin = sure[np.arange(len(codes)), best] - own
    wrong = np.flatnonzero((best != codes) & (margin > 0))
    wrong = wrong[np.argsort(-margin[wrong], kind="stable")]
    return known[wrong], names[best[wrong]], margin[wrong]


def _held_out(unit: Vectors, codes: Numbers, labels: int, folds: Numbers) -> NDArray[np.float64]:
    """[n, labels]: how much each row looks like each label, from the other folds. A fold's sums are taken from the
    whole's, so that the cost is that of one fit."""
    x = np.hstack([unit - unit.mean(axis=0), np.ones((len(unit), 1), dtype=np.float32)])
    y = np.eye(labels, dtype=np.float32)[codes]
    whole, target = x.T @ x, x.T @ y
    ridge = np.eye(x.shape[1]) * RIDGE * np.trace(whole[:-1, :-1]) / max(x.shape[1] - 1, 1)
    ridge[-1, -1] = 1e-3
    scores = np.empty((len(x), labels))
    for fold in range(FOLDS):
        out = folds == fold
        weights = np.linalg.solve(whole - x[out].T @ x[out] + ridge, target - x[out].T @ y[out])
        scores[out] = x[out] @ weights
    return scores


def _unit(vectors: Vectors) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: Vectors = vectors / np.maximum(lengths, 1e-12)
    return found


def _fold(word: str) -> int:
    return hashlib.blake2b(word.encode(), digest_size=8, person=b"fold").digest()[0] % FOLDS
