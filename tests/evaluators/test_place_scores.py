"""Scores of masks and of labels of residues, against loops and scikit-learn, and with weights against rows repeated."""

import numpy as np
import pytest
from sklearn import metrics

from speciate import SpeciateError
from speciate.catalog import installed
from speciate.masks import Mask, objects
from speciate.score import score_all
from speciate.task import Predictions
from speciate.testing import EvaluatorContract
from speciate_evaluators import places
from speciate_trainers.tasks.segment import Segment
from speciate_trainers.tasks.tag import Tag

LABELS = ("background", "a", "b", "c")


def masks(n=12, seed=0):
    rng = np.random.default_rng(seed)
    truth = [(rng.random((9, 7)) < rng.random()) * rng.integers(0, 3, (9, 7)) for _ in range(n)]
    answers = [np.where(rng.random((9, 7)) < 0.7, t, rng.integers(0, 4, (9, 7))) for t in truth]
    truth[0], answers[0] = truth[0] * 0, answers[0] * 0
    targets = objects(Mask.of(t.astype(np.uint8), LABELS) for t in truth)
    return Predictions(Segment(LABELS), objects(a.astype(np.uint8) for a in answers), targets), truth, answers


def tags(n=12, seed=0):
    rng = np.random.default_rng(seed)
    truth = [rng.integers(-1, 3, rng.integers(2, 30)).astype(np.int16) for _ in range(n)]
    answers = [
        np.where(rng.random(len(t)) < 0.6, t.clip(0), rng.integers(0, 3, len(t))).astype(np.int16) for t in truth
    ]
    return Predictions(Tag(("C", "E", "H")), objects(answers), objects(truth))


@pytest.mark.parametrize("seed", range(4))
def test_masks_against_loops(seed):
    predictions, truth, answers = masks(seed=seed)
    rows = {"dice": [], "iou": []}
    for t, a in zip(truth, answers, strict=True):
        pairs = [((t == c) & (a == c), (t == c) | (a == c), (t == c).sum() + (a == c).sum()) for c in (1, 2, 3)]
        there = [(both.sum(), either.sum(), total) for both, either, total in pairs if either.any()]
        rows["dice"].append(np.mean([2 * both / total for both, _, total in there]) if there else 1.0)
        rows["iou"].append(np.mean([both / either for both, either, _ in there]) if there else 1.0)
    for name, wanted in rows.items():
        assert getattr(places, name)(predictions, np.ones((1, 12)))[0] == pytest.approx(np.mean(wanted))
    assert rows["dice"][0] == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_residues_against_scikit_learn(seed):
    predictions = tags(seed=seed)
    truth, given = (np.concatenate(list(part)) for part in (predictions.targets, predictions.answers))
    known = truth >= 0
    truth, given, one = truth[known], given[known], np.ones((1, 12))
    assert places.tag_accuracy(predictions, one)[0] == pytest.approx(metrics.accuracy_score(truth, given))
    assert places.tag_macro_f1(predictions, one)[0] == pytest.approx(metrics.f1_score(truth, given, average="macro"))


@pytest.mark.parametrize("name", ["dice", "iou", "tag_accuracy", "tag_macro_f1"])
def test_weights_count_as_rows(name):
    predictions = masks()[0] if name in ("dice", "iou") else tags()
    weights = np.random.default_rng(1).integers(0, 4, (5, 12))
    scorer = getattr(places, name)
    found = scorer(predictions, weights.astype(float))
    for value, row in zip(found, weights, strict=True):
        repeated = predictions.take(np.repeat(np.arange(12), row))
        assert value == pytest.approx(scorer(repeated, np.ones((1, len(repeated))))[0])
    assert np.isnan(scorer(predictions.take(np.arange(0)), np.ones((2, 0)))).all()
    score = score_all(installed(), predictions, (name,))[name]
    assert score.low <= score.value <= score.high


def test_answers_of_another_size():
    """A mask is stretched over the truth; labels of residues must fit, unless one stands for all."""
    predictions, truth, _ = masks()
    background = Predictions(predictions.task, predictions.task.prior(predictions.targets, 12), predictions.targets)
    empty = np.mean([not t.any() for t in truth])
    assert places.dice(background, np.ones((1, 12)))[0] == pytest.approx(empty)
    some = tags()
    prior = Predictions(some.task, some.task.prior(some.targets, 12), some.targets)
    counts = np.bincount(np.concatenate(list(some.targets)) + 1)[1:]
    assert places.tag_accuracy(prior, np.ones((1, 12)))[0] == pytest.approx(counts.max() / counts.sum())
    short = Predictions(some.task, objects(answer[:-1] for answer in some.answers), some.targets)
    with pytest.raises(SpeciateError, match="row 0 has labels for"):
        places.tag_accuracy(short, np.ones((1, 12)))


class TestDice(EvaluatorContract):
    name = "dice"


class TestIou(EvaluatorContract):
    name = "iou"


class TestTagAccuracy(EvaluatorContract):
    name = "tag_accuracy"


class TestTagMacroF1(EvaluatorContract):
    name = "tag_macro_f1"
