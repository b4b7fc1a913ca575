"""EvaluatorContract: a number that prefers right answers, and means the same in whatever order rows come."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Evaluator
from speciate.score import Score, fits, score_all
from speciate.task import Predictions, Task
from speciate.testing.contract import Contract
from speciate.testing.tasks import mixed, posed

__all__ = ["EvaluatorContract"]

ROWS = 60
Posed = tuple[Task, "NDArray[Any]"]


class EvaluatorContract(Contract):
    """Judges made-up predictions for every declared task, in every way that the task's examples pose it."""

    kind = Evaluator
    names = ("scorer",)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "task" in metafunc.fixturenames:
            tasks = [
                pytest.param(one, id=f"{name}{i + 1}")
                for name in self.declaration.tasks
                for i, one in enumerate(posed(self.catalog, name, ROWS))
                if fits(self.declaration, one[0])
            ]
            metafunc.parametrize("task", tasks)

    def test_right_beats_wrong(self, task: Posed) -> None:
        """Perfect answers score at least as well as the same answers shuffled."""
        right = perfect(task)
        turned = right.answers[np.random.default_rng(1).permutation(ROWS)]
        good, bad = self.value(right), self.value(Predictions(right.task, turned, right.targets))
        better = good >= bad if self.declaration.higher_is_better else good <= bad
        assert better, f"perfect answers score {good:.4g}, shuffled ones {bad:.4g}; look at higher_is_better"

    def test_a_score_has_its_interval(self, task: Posed) -> None:
        score = self.score(noisy(task))
        assert score.n == ROWS, f"n is {score.n} for {ROWS} rows"
        assert score.value is not None, "undefined on ordinary predictions"
        assert score.low is not None
        assert score.high is not None
        assert score.low <= score.value <= score.high, f"{score.value} lies outside {score.low} to {score.high}"

    def test_order_does_not_matter(self, task: Posed) -> None:
        there = noisy(task)
        turned = Predictions(there.task, there.answers[::-1], there.targets[::-1])
        assert self.value(turned) == pytest.approx(self.value(there), abs=1e-9), "the order of rows matters"

    @pytest.mark.parametrize("n", [1, 2])
    def test_few_rows_are_no_error(self, task: Posed, n: int) -> None:
        """The number may be undefined there (NaN), but asking for it is allowed."""
        there = noisy(task)
        score = self.score(Predictions(there.task, there.answers[:n], there.targets[:n]))
        assert score.n == n

    def test_weights_count_as_rows(self, task: Posed) -> None:
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


def perfect(task: Posed) -> Predictions:
    """Right answers, sure of themselves."""
    return Predictions(task[0], task[0].certain(task[1]), task[1])


def noisy(task: Posed) -> Predictions:
    """Right more often than not."""
    return Predictions(task[0], mixed(*task), task[1])
