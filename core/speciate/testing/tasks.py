"""TaskContract: labels become targets, answers become outputs and back, and its loss leads to right answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from speciate import Evaluator, Row, TaskKind, UsageError
from speciate.catalog import Catalog
from speciate.score import fits, value
from speciate.task import Predictions, Task
from speciate.testing.contract import Contract

__all__ = ["TaskContract", "check_answers", "mixed", "posed"]

ROWS = 48
OTHER = np.random.default_rng(1).permutation(ROWS)  # a row whose label is as good as any
STEPS, RATE = 60, 0.1
Example = tuple[Mapping[str, Any], Sequence[str]]


class TaskContract(Contract):
    """Poses the task in every way that its `examples` do; what they say is all that is made up here."""

    kind = TaskKind
    names = ("task",)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "example" in metafunc.fixturenames:
            examples = self.catalog.use(self.declaration, "task").examples()
            metafunc.parametrize("example", examples, ids=[f"{i + 1}" for i in range(len(examples))])

    @pytest.fixture
    def task(self, example: Example) -> Task:
        return self.use("task").pose(rows(example), "made-up rows", example[0])  # type: ignore[no-any-return]

    @pytest.fixture
    def targets(self, task: Task, example: Example) -> NDArray[Any]:
        return task.targets(rows(example))

    def test_it_has_examples(self) -> None:
        assert self.use("task").examples(), "Task.examples gives none, so that no check knows what a label looks like"

    def test_names_agree(self, example: Example, task: Task) -> None:
        """The declaration and the class say the same, and the score that decides is one of this task."""
        declaration = self.declaration
        assert (task.name, task.primary) == (declaration.name, declaration.primary), "the class says something else"
        primary = self.catalog.get(Evaluator, task.primary)
        assert fits(primary, task), f"{primary.name} does not judge {task.name}"
        assert task.says().strip(), "says() is for the card"

    def test_labels_are_targets(self, example: Example, task: Task, targets: NDArray[Any]) -> None:
        """One entry a row, whatever other rows there are."""
        assert len(targets) == ROWS, f"{ROWS} rows give {len(targets)} targets"
        assert len(task.targets([])) == 0, "no rows give targets"
        alone = [task.targets([row])[0] for row in rows(example)]
        assert np.array_equal(np.stack(alone), targets), "a target depends on the rows beside it"

    def test_a_model_is_posed_the_same(self, example: Example, task: Task, targets: NDArray[Any]) -> None:
        """What a model's folder keeps are the labels and the options, as JSON."""
        kept = json.loads(json.dumps({"labels": list(task.labels), "options": dict(task.options)}))
        again = type(task)(tuple(kept["labels"]), kept["options"])
        assert np.array_equal(again.targets(rows(example)), targets), "labels and options do not say all"
        assert again.shape() == task.shape(), "labels and options do not decide the shape"

    def test_answers_become_outputs_and_back(self, task: Task, targets: NDArray[Any]) -> None:
        """As JSON without NaN, one object a row, and nothing is lost: what is served is what was answered."""
        for answers in (task.certain(targets), mixed(task, targets)):
            outputs = task.outputs(answers)
            assert len(outputs) == len(answers), f"{len(answers)} answers give {len(outputs)} outputs"
            heard = task.answers(json.loads(json.dumps(outputs, allow_nan=False)))
            assert heard.shape == answers.shape, f"answers are {answers.shape}, after JSON {heard.shape}"
            assert task.gap(answers, heard) <= 1e-9, "the answer that outputs came from is another"

    def test_answers_have_the_shape(self, task: Task, targets: NDArray[Any]) -> None:
        for what, answers in (("certain", task.certain(targets)), ("prior", task.prior(targets, ROWS))):
            check_answers(what, task, answers)
        assert len(task.prior(targets, 3)) == 3, "prior(targets, 3) is for three rows"

    def test_knowing_beats_not_knowing(self, task: Task, targets: NDArray[Any]) -> None:
        """By the score that decides."""
        known = self.score(task, task.certain(targets), targets)
        prior = self.score(task, task.prior(targets, ROWS), targets)
        assert known > prior, f"{task.primary} of the truth is {known:.4g}, of the prior {prior:.4g} (more is better)"

    def test_a_gap_is_a_distance(self, task: Task, targets: NDArray[Any]) -> None:
        answers = task.certain(targets)
        assert task.gap(answers, answers) == 0, "an answer is apart from itself"
        assert task.gap(answers, answers[OTHER]) > 0.01, "answers to other rows are not apart"
        assert task.gap(answers[:0], answers[:0]) == 0, "no answers are apart"

    def test_its_loss_leads_to_right_answers(self, task: Task, targets: NDArray[Any]) -> None:
        """The head learns rows that can be told apart: the loss is a finite number a row and falls, and what is decided
        is better than the prior."""
        import torch

        scores, first, last = self.learnt(task, targets)
        wrong = task.loss(scores, task.tensor(targets[OTHER]))
        assert last.shape == (ROWS,), f"the loss of {ROWS} rows is {tuple(last.shape)}"
        assert torch.isfinite(last).all(), "the loss is not finite"
        assert float(last.mean()) < float(first.mean()), "learning does not lower the loss"
        assert float(last.mean()) < float(wrong.mean()), "right answers cost more than wrong ones"
        answers = task.decide(scores).numpy()
        check_answers("decide", task, answers)
        found, prior = self.score(task, answers, targets), self.score(task, task.prior(targets, ROWS), targets)
        assert found > prior, f"{task.primary} after learning is {found:.4g}, of the prior {prior:.4g} (more is better)"

    def test_a_row_is_decided_alone(self, task: Task, targets: NDArray[Any]) -> None:
        scores, _, _ = self.learnt(task, targets)
        alone = np.concatenate([task.decide(scores[i : i + 1]).numpy() for i in range(ROWS)])
        assert task.gap(task.decide(scores).numpy(), alone) <= 1e-9, "an answer depends on the rows beside it"

    def test_a_teacher_is_near_itself(self, task: Task, targets: NDArray[Any]) -> None:
        """Nobody is nearer to a teacher's answers than who gives the same."""
        scores, _, _ = self.learnt(task, targets)
        answers = task.decide(scores)
        try:
            same = task.distance(scores, answers, 2.0)
        except UsageError as error:
            pytest.skip(error.asked)
        other = task.distance(scores, answers[OTHER], 2.0)
        assert same.shape == (ROWS,), f"the distance of {ROWS} rows is {tuple(same.shape)}"
        assert float(same.mean()) < float(other.mean()), "another row's answers are as near"

    def learnt(self, task: Task, targets: NDArray[Any]) -> tuple[Any, Any, Any]:
        """Scores of a head that has learnt the targets by heart; the loss before and after."""
        import torch

        if self.declaration.needs != "vector":
            pytest.skip(f"it is learnt from {self.declaration.needs}, which is not made up here")
        torch.manual_seed(0)
        kinds = np.unique(targets.reshape(ROWS, -1), axis=0, return_inverse=True)[1].reshape(-1)
        vectors = torch.from_numpy(np.eye(max(8, kinds.max() + 1), dtype=np.float32)[kinds])
        vectors = vectors + 0.05 * torch.randn(vectors.shape)
        head, wanted = task.head(vectors.shape[1], targets), task.tensor(targets)
        first = task.loss(head(vectors), wanted).detach()
        parameters = list(head.parameters())
        if not parameters:
            first = task.loss(torch.randn(vectors.shape), wanted)  # this head passes on what there is to learn
        for step in range(STEPS if parameters else 0):  # by hand: an optimiser of torch's takes seconds to import
            slopes = torch.autograd.grad(task.loss(head(vectors), wanted).mean(), parameters)
            for parameter, slope in zip(parameters, slopes, strict=True):
                parameter.data -= RATE * (1 - step / STEPS) * slope.sign()
        with torch.no_grad():
            scores = head(vectors)
            return scores, first, task.loss(scores, wanted)

    def score(self, task: Task, answers: NDArray[Any], targets: NDArray[Any]) -> float:
        """The task's primary score, turned so that more is better."""
        primary = self.catalog.get(Evaluator, task.primary)
        found = value(self.catalog, primary, Predictions(task, answers, targets))
        return found if primary.higher_is_better else -found


def rows(example: Example, n: int = ROWS) -> list[Row]:
    """Rows with the example's labels, each as often as the others."""
    labels = example[1]
    return [{"id": f"{i:04}", "label": labels[i % len(labels)]} for i in range(n)]


def posed(catalog: Catalog, name: str, n: int = ROWS) -> list[tuple[Task, NDArray[Any]]]:
    """A task in every way its examples pose it, with targets."""
    kind = catalog.use(catalog.get(TaskKind, name), "task")
    tasks = [(kind.pose(rows(example, n), "made-up rows", example[0]), example) for example in kind.examples()]
    return [(task, task.targets(rows(example, n))) for task, example in tasks]


def mixed(task: Task, targets: NDArray[Any]) -> NDArray[Any]:
    """Right more often than not: answers that lean towards those of other rows."""
    right, rng = task.certain(targets), np.random.default_rng(3)
    other = right[rng.permutation(len(right))]
    if right.dtype.kind != "f":
        swapped = rng.random(len(right)) < 0.3
        return np.where(swapped.reshape(-1, *[1] * (right.ndim - 1)), other, right)
    share = rng.uniform(0, 0.6, len(right)).reshape(-1, *[1] * (right.ndim - 1))
    found: NDArray[Any] = (1 - share) * right + share * other
    return found


def check_answers(what: str, task: Task, answers: NDArray[Any]) -> None:
    wanted = task.shape()
    if wanted is not None:
        assert answers.shape[1:] == wanted, f"{what}: an answer is {answers.shape[1:]}, shape() says {wanted}"
    if answers.dtype.kind == "f":
        assert np.isfinite(answers).all(), f"{what}: an answer is NaN or infinite"
