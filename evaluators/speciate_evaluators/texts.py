"""Scores of texts beside the texts that should be said: each row has a number of its own, so resamples are sums."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from speciate.task import Predictions

__all__ = ["exact_match", "perplexity", "token_f1"]

Array = NDArray[np.float64]

WORD = re.compile(r"\w+")


def exact_match(predictions: Predictions, weights: Array) -> Array:
    """Share of answers that are the text itself; case, space and the signs at both ends do not count."""
    same = [_plain(said) == _plain(wanted) for said, wanted in _pairs(predictions)]
    return _mean(weights, np.array(same, dtype=np.float64))


def token_f1(predictions: Predictions, weights: Array) -> Array:
    """F1 of the words that an answer shares with the text, whatever their order, averaged over rows."""
    return _mean(weights, np.array([_overlap(said, wanted) for said, wanted in _pairs(predictions)], dtype=np.float64))


def perplexity(predictions: Predictions, weights: Array) -> Array:
    """exp of the mean surprise at a token of the texts; NaN where a model did not say how surprised it was."""
    nll, tokens = predictions.answers["nll"], predictions.answers["tokens"].astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found: Array = np.exp((weights @ nll) / (weights @ tokens))
    return found


def _pairs(predictions: Predictions) -> list[tuple[str, str]]:
    return list(zip(predictions.answers["text"], predictions.targets, strict=True))


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:!?\"'`*")


def _overlap(said: str, wanted: str) -> float:
    a, b = (Counter(WORD.findall(text.casefold())) for text in (said, wanted))
    if not a or not b:
        return float(_plain(said) == _plain(wanted))
    shared = (a & b).total()
    return 2 * shared / (a.total() + b.total())


def _mean(weights: Array, values: Array) -> Array:
    with np.errstate(invalid="ignore"):
        mean: Array = (weights @ values) / weights.sum(axis=1)
    return mean
