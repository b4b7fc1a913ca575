"""The scorers against scikit-learn, and with weights against the rows repeated."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

import speciate_evaluators
from speciate.catalog import Catalog, Plugin
from speciate.contracts import Evaluator
from speciate.score import score_all
from speciate.task import Predictions
from speciate_evaluators import scorers
from speciate_trainers.tasks.classify import Classify
from speciate_trainers.tasks.regress import Regress

CLASSIFY = ("accuracy", "auroc", "ece", "log_loss", "macro_f1")
REGRESS = ("mae", "r2", "rmse")
close = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}


def classified(n, labels, seed=0, absent=(), rounded=None):
    rng = np.random.default_rng(seed)
    targets = rng.choice(np.setdiff1d(np.arange(labels), absent), n).astype(float)
    answers = rng.dirichlet(np.ones(labels), n) + 0.3 * np.eye(labels)[targets.astype(int)]
    answers /= answers.sum(axis=1, keepdims=True)
    if rounded is not None:
        answers = np.round(answers, rounded)  # many ties
    return Predictions(Classify(tuple(f"label{i}" for i in range(labels))), answers, targets)


def regressed(n, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(size=n) + offset
    return Predictions(Regress(), targets + 0.5 * rng.normal(size=n), targets)


def score(name, predictions, weights=None):
    weights = np.ones((1, len(predictions))) if weights is None else weights
    values = getattr(scorers, name)(predictions, weights)
    assert values.shape == (len(weights),)
    assert values.dtype == np.float64
    return values


def expected_calibration_error(truth, answers):
    confidence, right = answers.max(axis=1), answers.argmax(axis=1) == truth
    total = 0.0
    for number in range(15):
        low = -1.0 if number == 0 else number / 15
        inside = (confidence > low) & (confidence <= (number + 1) / 15)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def area_by_label(truth, answers):
    labels = [1] if answers.shape[1] == 2 else range(answers.shape[1])
    areas = [metrics.roc_auc_score(truth == i, answers[:, i]) for i in labels if len(set(truth == i)) == 2]
    return np.mean(areas) if areas else np.nan


def surprise(truth, answers):
    clipped = np.clip(answers, 1e-15, 1 - 1e-15)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rounded probabilities do not sum to one
        return metrics.log_loss(truth, clipped, labels=range(answers.shape[1]))


def reference(name, predictions):
    truth, answers = predictions.targets, predictions.answers
    if name in REGRESS:
        names = {"mae": "mean_absolute_error", "rmse": "root_mean_squared_error", "r2": "r2_score"}
        return np.nan if (name, len(truth)) == ("r2", 1) else getattr(metrics, names[name])(truth, answers)
    best = answers.argmax(axis=1)
    return {
        "accuracy": lambda: metrics.accuracy_score(truth, best),
        "macro_f1": lambda: metrics.f1_score(truth, best, average="macro"),
        "auroc": lambda: area_by_label(truth, answers),
        "log_loss": lambda: surprise(truth, answers),
        "ece": lambda: expected_calibration_error(truth, answers),
    }[name]()


CASES = {
    "two labels": classified(200, 2),
    "two labels, ties": classified(200, 2, rounded=1),
    "many labels": classified(500, 20),
    "many labels, ties": classified(500, 12, rounded=1),
    "labels absent": classified(100, 5, absent=(0, 3)),
    "one label in the sample": classified(30, 2, absent=(0,)),
    "one row": classified(1, 3),
    "two rows": classified(2, 40),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", CLASSIFY)
def test_classify_equals_scikit_learn(name, case):
    np.testing.assert_allclose(score(name, CASES[case])[0], reference(name, CASES[case]), **close)


@pytest.mark.parametrize("n", [1, 2, 300])
@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("name", REGRESS)
def test_regress_equals_scikit_learn(name, offset, n):
    predictions = regressed(n, offset=offset)
    np.testing.assert_allclose(score(name, predictions)[0], reference(name, predictions), **close)


@pytest.mark.parametrize("labels", [2, 7])
def test_auroc_equals_the_one_call_of_scikit_learn(labels):
    predictions = classified(300, labels)
    answers = predictions.answers[:, 1] if labels == 2 else predictions.answers
    expected = metrics.roc_auc_score(predictions.targets, answers, multi_class="ovr", average="macro")
    np.testing.assert_allclose(score("auroc", predictions)[0], expected, **close)


@st.composite
def weighted(draw):
    n, labels = draw(st.integers(1, 25)), draw(st.integers(2, 6))
    counts = st.lists(st.integers(0, 4), min_size=n, max_size=n).filter(any)
    weights = np.array(draw(st.lists(counts, min_size=1, max_size=4)), dtype=float)
    return n, labels, draw(st.integers(0, 999)), draw(st.sampled_from([None, 1])), weights


@settings(deadline=None, max_examples=40)
@given(weighted())
def test_a_weight_is_a_row_repeated(drawn):
    n, labels, seed, rounded, weights = drawn
    for predictions, names in ((classified(n, labels, seed, (), rounded), CLASSIFY), (regressed(n, seed), REGRESS)):
        repeated = [predictions.take(np.repeat(np.arange(n), row.astype(int))) for row in weights]
        for name in names:
            values = score(name, predictions, weights)
            np.testing.assert_allclose(values, [score(name, rows)[0] for rows in repeated], **close)
            for value, rows in zip(values, repeated, strict=True):
                if name != "r2" or len(set(rows.targets)) > 1:  # of a constant, scikit-learn divides rounding errors
                    np.testing.assert_allclose(value, reference(name, rows), **close)


def test_many_blocks_are_one(monkeypatch):
    predictions, weights = classified(50, 4), np.random.default_rng(0).poisson(1, (33, 50)).astype(float)
    whole = score("auroc", predictions, weights)
    monkeypatch.setattr(scorers, "BLOCK", 200)
    np.testing.assert_array_equal(score("auroc", predictions, weights), whole)


@pytest.mark.parametrize(("answer", "expected"), [(0.1, 1.0), (0.2, 0.0)])
def test_r2_of_a_constant(answer, expected):
    predictions = Predictions(Regress(), np.full(4, answer), np.array([0.0, 0.1, 0.1, 0.1]))
    assert score("r2", predictions, np.array([[0.0, 1.0, 1.0, 1.0]]))[0] == expected


def test_a_bin_ends_with_its_upper_edge():
    confidence = np.array([0.58, 0.6, 0.62])
    predictions = Predictions(Classify(("a", "b")), np.stack([confidence, 1 - confidence], 1), np.eye(3)[1])
    np.testing.assert_allclose(score("ece", predictions)[0], (abs(1 - 0.58 - 0.6) + 1 - 0.62) / 3)


def test_certain_and_wrong_is_finite():
    predictions = Predictions(Classify(("a", "b")), np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([0.0, 1.0]))
    np.testing.assert_allclose(score("log_loss", predictions)[0], -np.log(1e-15) / 2)
    assert score("ece", predictions)[0] == 0.5


@pytest.mark.parametrize("name", CLASSIFY + REGRESS)
def test_undefined_is_nan(name):
    predictions = regressed(4) if name in REGRESS else classified(4, 3)
    predictions.answers[1] = np.nan
    weights = np.ones((2, 4))
    assert np.isnan(score(name, predictions, weights)).all()
    assert np.isnan(score(name, predictions.take(np.arange(0)), weights[:, :0])).all()


@pytest.fixture
def catalog():
    return Catalog([Plugin("evaluators", speciate_evaluators)])


def test_declarations(catalog):
    assert not catalog.problems
    found = catalog.all(Evaluator)
    assert {e.name for e in found if e.tasks == ("classify",)} == set(CLASSIFY)
    assert {e.name for e in found if e.tasks == ("regress",) and not e.needs} == set(REGRESS)
    assert {e.name for e in found if e.needs == "std"} == {"nll", "coverage"}
    less = {"log_loss", "ece", "mae", "rmse", "nll", "hamming", "perplexity"}
    assert {e.name for e in found if not e.higher_is_better} == less
    assert all(e.weighted and catalog.use(e, "scorer").__name__ == e.name for e in found)


def test_declaring_imports_no_numpy():
    code = "import speciate_evaluators as e, sys; list(e.speciate_evaluators()); sys.exit('numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("predictions", [classified(300, 5), regressed(300)], ids=["classify", "regress"])
def test_score_all_gives_every_number_with_its_interval(catalog, predictions):
    scores = score_all(catalog, predictions)
    assert set(scores) == set(CLASSIFY if predictions.task.name == "classify" else REGRESS)
    for found in scores.values():
        assert found.n == 300
        assert found.low <= found.value <= found.high
        assert found.low < found.high


def test_score_all_says_what_is_undefined(catalog):
    found = score_all(catalog, classified(30, 2, absent=(0,)), ("auroc",))["auroc"]
    assert (found.value, found.low, found.high, found.n) == (None, None, None, 30)


def test_the_interval_of_accuracy_is_the_binomial_one(catalog):
    found = score_all(catalog, classified(1000, 3), ("accuracy",))["accuracy"]
    half = 1.96 * np.sqrt(found.value * (1 - found.value) / 1000)
    np.testing.assert_allclose([found.low, found.high], [found.value - half, found.value + half], atol=0.005)
