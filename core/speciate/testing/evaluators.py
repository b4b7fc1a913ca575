"""EvaluatorContract: a number that prefers right answers, and means the same in whatever order rows come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Evaluator, TaskKind
from speciate.score import Score, score_all
from speciate.task import Predictions, Task
from speciate.testing.contract import Contract

__all__ = ["EvaluatorContract"]

ROWS = 60
LABELS: dict[str, tuple[tuple[str, ...], ...]] = {"classify": (("a", "b"), ("a", "b", "c")), "regress": ((),)}


class EvaluatorContract(Contract):
    """Judges made-up predictions for every declared task, with two labels and with three."""

    kind = Evaluator
    names = ("scorer",)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "task" in metafunc.fixturenames:
            tasks = [
                self.catalog.use(self.catalog.get(TaskKind, name), "task")(labels)
                for name in self.declaration.tasks
                for labels in LABELS[name]
            ]
            metafunc.parametrize("task", tasks, ids=lambda task: f"{task.name}{len(task.labels) or ''}")

    def test_right_beats_wrong(self, task: Task) -> None:
        """Perfect answers score at least as well as the same answers shuffled."""
        right = perfect(task)
        shuffled = Predictions(task, right.answers[np.random.default_rng(1).permutation(ROWS)], right.targets)
        good, bad = self.value(right), self.value(shuffled)
        better = good >= bad if self.declaration.higher_is_better else good <= bad
        assert better, f"perfect answers score {good:.4g}, shuffled ones {bad:.4g}; look at higher_is_better"

    def test_a_score_has_its_interval(self, task: Task) -> None:
        score = self.score(noisy(task))
        assert score.n == ROWS, f"n is {score.n} for {ROWS} rows"
        assert score.value is not None, "undefined on ordinary predictions"
        assert score.low is not None
        assert score.high is not None
        assert score.low <= score.value <= score.high, f"{score.value} lies outside {score.low} to {score.high}"

    def test_order_does_not_matter(self, task: Task) -> None:
        predictions = noisy(task)
        turned = predictions.take(np.arange(ROWS)[::-1])
        assert self.value(turned) == pytest.approx(self.value(predictions), abs=1e-9), "the order of rows matters"

    @pytest.mark.parametrize("n", [1, 2])
    def test_few_rows_are_no_error(self, task: Task, n: int) -> None:
        """The number may be undefined there (NaN), but asking for it is allowed."""
        score = self.score(noisy(task).take(np.arange(n)))
        assert score.n == n

    def test_weights_count_as_rows(self, task: Task) -> None:
        """A weight of three is the row three times, and zero is the row left out."""
        if not self.declaration.weighted:
            pytest.skip("not declared as weighted")
        predictions, rng = noisy(task), np.random.default_rng(2)
        weights = rng.integers(0, 4, (3, ROWS))
        scorer = self.use("scorer")
        found = np.asarray(scorer(predictions, weights.astype(float)))
        assert found.shape == (3,), f"three resamples give {found.shape}"
        for value, row in zip(found, weights, strict=True):
            repeated = predictions.take(np.repeat(np.arange(ROWS), row))
            wanted = scorer(repeated, np.ones((1, len(repeated))))[0]
            assert value == pytest.approx(wanted, abs=1e-9), "weights do not count as repeated rows"

    def score(self, predictions: Predictions) -> Score:
        self.use("scorer")
        return score_all(self.catalog, predictions, (self.name,))[self.name]

    def value(self, predictions: Predictions) -> float:
        value = self.score(predictions).value
        assert value is not None, "undefined on ordinary predictions"
        return value


def perfect(task: Task) -> Predictions:
    """Right answers, sure of themselves."""
    rng = np.random.default_rng(0)
    if task.name == "regress":
        values = rng.normal(size=ROWS)
        return Predictions(task, values, values)
    targets = np.arange(ROWS) % len(task.labels)
    return Predictions(task, np.eye(len(task.labels))[targets], targets.astype(float))


def noisy(task: Task) -> Predictions:
    """Right more often than not."""
    right, rng = perfect(task), np.random.default_rng(3)
    answers: NDArray[Any] = right.answers + rng.uniform(0, 1.2, right.answers.shape)
    if task.name == "classify":
        answers = answers / answers.sum(axis=1, keepdims=True)
    return Predictions(task, answers, right.targets)
