"""Scores of several labels, of several values with their spreads, and of neighbours: against scikit-learn, SciPy and
loops that say what is meant."""

from itertools import permutations

import numpy as np
import pytest
from sklearn import metrics

from speciate.task import Predictions
from speciate_evaluators import retrieval, scorers, sets
from speciate_trainers.tasks.embed import Embed
from speciate_trainers.tasks.multilabel import Multilabel
from speciate_trainers.tasks.regress import Regress

close = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}
NAMES = {sets: ("label_f1", "label_f1_micro", "label_map", "set_match", "hamming")}
NAMES |= {retrieval: ("recall_at_1", "recall_at_5", "retrieval_map"), scorers: ("mae", "rmse", "r2", "nll", "coverage")}


def one(scorer, predictions):
    return scorer(predictions, np.ones((1, len(predictions))))[0]


def several(n=80, labels=5, seed=0, rounded=None, threshold=0.5):
    rng = np.random.default_rng(seed)
    targets = (rng.random((n, labels)) < rng.uniform(0.1, 0.6, labels)).astype(float)
    answers = np.clip(0.6 * targets + 0.6 * rng.random((n, labels)), 0, 1)
    answers = answers if rounded is None else np.round(answers, rounded)
    return Predictions(Multilabel(tuple("abcdefgh"[:labels]), {"threshold": threshold}), answers, targets)


def values(n=60, seed=0):
    """Two targets, each with a spread."""
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=(n, 2)) * (1, 50)
    std = rng.uniform(0.5, 2, (n, 2)) * (1, 50)
    answers = np.stack([targets + std * rng.normal(size=(n, 2)), std], axis=-1)
    return Predictions(Regress(("a", "b"), {"uncertainty": True}), answers, targets)


def vectors(n=50, kinds=6, width=4, seed=0, copies=0):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, kinds, n).astype(float)
    answers = rng.normal(size=(kinds, width))[targets.astype(int)] + rng.normal(size=(n, width))
    for i in range(copies):
        answers[-i - 1] = answers[i]
    return Predictions(Embed((), {"width": width}), answers, targets)


MADE = {sets: several, retrieval: vectors, scorers: values}


@pytest.mark.parametrize("rounded", [None, 1])
@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_several_labels_are_as_scikit_learn_has_them(threshold, rounded):
    predictions = several(threshold=threshold, rounded=rounded)
    truth, named = predictions.targets.astype(int), (predictions.answers >= threshold).astype(int)
    wanted = {
        "label_f1": metrics.f1_score(truth, named, average="macro"),
        "label_f1_micro": metrics.f1_score(truth, named, average="micro"),
        "label_map": metrics.average_precision_score(truth, predictions.answers, average="macro"),
        "set_match": metrics.accuracy_score(truth, named),
        "hamming": metrics.hamming_loss(truth, named),
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(one(getattr(sets, name), predictions), value, **close)


def test_a_label_without_a_row_has_no_precision():
    predictions = several()
    predictions.targets[:, 2] = 0
    rest = [0, 1, 3, 4]
    wanted = metrics.average_precision_score(predictions.targets[:, rest], predictions.answers[:, rest])
    np.testing.assert_allclose(one(sets.label_map, predictions), wanted, **close)
    predictions.targets[:] = 0
    assert np.isnan(one(sets.label_map, predictions))


def test_several_values_are_as_scikit_learn_has_them():
    predictions = values()
    answers, targets, std = predictions.answers[..., 0], predictions.targets, predictions.answers[..., 1]
    np.testing.assert_allclose(one(scorers.mae, predictions), metrics.mean_absolute_error(targets, answers), **close)
    wanted = metrics.root_mean_squared_error(targets, answers)
    np.testing.assert_allclose(one(scorers.rmse, predictions), wanted, **close)
    np.testing.assert_allclose(one(scorers.r2, predictions), metrics.r2_score(targets, answers), **close)
    dense = np.exp(-np.square((targets - answers) / std) / 2) / (std * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(one(scorers.nll, predictions), -np.log(dense).mean(), **close)


def test_ninety_percent_are_covered_where_the_spread_is_honest():
    predictions = values(20_000)
    assert abs(one(scorers.coverage, predictions) - 0.9) < 0.005
    sure = Predictions(predictions.task, predictions.answers * (1, 0.5), predictions.targets)
    assert one(scorers.coverage, sure) < 0.62


def expected(predictions, k):
    """Recall at k and average precision of each row by hand, over every order of rows that are equally near."""
    length = np.linalg.norm(predictions.answers, axis=1, keepdims=True)
    near = np.round((predictions.answers / length) @ (predictions.answers / length).T, 12)
    recall, average = [], []
    for i in range(len(near)):
        others = [j for j in range(len(near)) if j != i]
        right = predictions.targets[others] == predictions.targets[i]
        if not right.any():
            continue
        orders = [o for o in permutations(range(len(others))) if all(np.diff(near[i][others][list(o)]) <= 0)]
        recall.append(np.mean([right[list(o)][:k].any() for o in orders]))
        average.append(metrics.average_precision_score(right, near[i][others]))
    return np.mean(recall), np.mean(average)


@pytest.mark.parametrize("copies", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_neighbours_are_what_a_loop_finds(seed, copies):
    predictions = vectors(7, 2, seed=seed, copies=copies)
    for name, k in (("recall_at_1", 1), ("recall_at_5", 5)):
        recall, average = expected(predictions, k)
        np.testing.assert_allclose(one(getattr(retrieval, name), predictions), recall, **close)
    np.testing.assert_allclose(one(retrieval.retrieval_map, predictions), average, **close)


def test_vectors_that_are_all_the_same_score_as_chance():
    there = vectors(40, 4)
    same = Predictions(there.task, there.task.prior(there.targets, 40), there.targets)
    right = [(there.targets == label).sum() - 1 for label in there.targets]
    np.testing.assert_allclose(one(retrieval.recall_at_1, same), np.mean(right) / 39, **close)
    np.testing.assert_allclose(one(retrieval.retrieval_map, same), np.mean(right) / 39, **close)


def test_a_row_that_is_drawn_twice_does_not_find_itself():
    predictions = vectors(30, 3, seed=1)
    predictions.answers[:] = np.random.default_rng(0).normal(size=predictions.answers.shape)  # nothing to find
    twice = predictions.take(np.repeat(np.arange(30), 2))
    for name in NAMES[retrieval]:
        scorer = getattr(retrieval, name)
        np.testing.assert_allclose(one(scorer, twice), one(scorer, predictions), **close)
    assert one(retrieval.recall_at_1, twice) < 0.6, "of copies it would be 1"
    again = twice.take(np.arange(60)[::-1])
    assert again.whole is predictions, "rows taken of taken rows know the first"


def test_neighbours_are_looked_for_once(monkeypatch):
    calls, look = [], retrieval._neighbours
    monkeypatch.setattr(retrieval, "_neighbours", lambda p: calls.append(len(p)) or look(p))
    predictions = vectors()
    for _ in range(3):
        one(retrieval.recall_at_1, predictions)
        one(retrieval.recall_at_1, predictions.take(np.arange(9)))
    assert calls == [50]


def test_identities_that_occur_once_are_not_asked_for():
    predictions = Predictions(Embed((), {}), np.eye(3), np.array([1.0, 2.0, 3.0]))
    assert np.isnan(one(retrieval.retrieval_map, predictions))
    assert np.isnan(one(retrieval.recall_at_1, predictions))


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in NAMES.items() for name in names])
def test_a_weight_is_a_row_repeated(module, name):
    predictions, scorer = MADE[module](), getattr(module, name)
    weights = np.random.default_rng(5).integers(0, 4, (6, len(predictions)))
    found = scorer(predictions, weights.astype(float))
    wanted = [one(scorer, predictions.take(np.repeat(np.arange(len(predictions)), row))) for row in weights]
    np.testing.assert_allclose(found, wanted, **close)


@pytest.mark.parametrize("module", NAMES)
def test_blocks_are_one(module, monkeypatch):
    predictions, weights = MADE[module](), np.random.default_rng(0).poisson(1, (33, len(MADE[module]()))).astype(float)
    whole = [getattr(module, name)(predictions, weights) for name in NAMES[module]]
    monkeypatch.setattr(retrieval, "BLOCK", 100)
    monkeypatch.setattr(scorers, "BLOCK", 200)
    parts = [getattr(module, name)(MADE[module](), weights) for name in NAMES[module]]
    np.testing.assert_allclose(parts, whole, **close)
