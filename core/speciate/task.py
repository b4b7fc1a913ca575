"""What is learnt: the Task, the Examples a Method learns it from, and the Predictions an Evaluator judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from speciate.contracts import Row, Sample
from speciate.errors import SpeciateError, UsageError, unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["TASKS", "Examples", "Predictions", "Task"]

TASKS = ("classify", "regress")


@dataclass(frozen=True)
class Task:
    """classify: one of `labels`. regress: a number."""

    name: str
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, rows: Sequence[Row], where: str) -> Task:
        """The task that labelled rows pose; `where` names them in errors."""
        if name not in TASKS:
            raise unknown("task", name, TASKS, "type task=classify or task=regress")
        values = [str(row["label"]) for row in rows]
        if name == "regress":
            _numbers(values)
            return cls(name)
        labels = tuple(sorted(set(values)))
        if len(labels) < 2:
            found = f"every labelled row of {where} says {labels[0]!r}" if labels else f"{where} has no labelled row"
            raise SpeciateError("a classifier needs at least two labels", found, "add rows with other labels")
        if len(labels) > max(50, len(values) // 2):
            exists = f"{where} has {len(labels)} different labels in {len(values)} rows"
            raise SpeciateError("classify wants labels that repeat", exists, "for numbers type task=regress")
        return cls(name, labels)

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        """Labels as numbers: the index in `labels`, or the value itself."""
        import numpy as np

        values = [str(row["label"]) for row in rows]
        if self.name == "regress":
            return np.array(_numbers(values), dtype=np.float64)
        index = {label: i for i, label in enumerate(self.labels)}
        strange = sorted({value for value in values if value not in index})
        if strange:
            exists = f"the model knows: {', '.join(self.labels)}"
            raise SpeciateError(
                f"labels never seen in training: {', '.join(strange)}", exists, "train on rows with them"
            )
        return np.array([index[value] for value in values], dtype=np.float64)

    def outputs(self, answers: NDArray[np.float64]) -> list[Row]:
        """A Predictor's array as the JSON a person gets."""
        if self.name == "regress":
            return [{"value": float(value)} for value in answers]
        best = answers.argmax(axis=1)
        return [
            {
                "label": self.labels[i],
                "score": float(row[i]),
                "scores": dict(zip(self.labels, map(float, row), strict=True)),
            }
            for i, row in zip(best, answers, strict=True)
        ]

    def answers(self, outputs: Sequence[Row]) -> NDArray[np.float64]:
        """The array that `outputs` came from."""
        import numpy as np

        if self.name == "regress":
            return np.array([output["value"] for output in outputs], dtype=np.float64)
        return np.array([[output["scores"][label] for label in self.labels] for output in outputs], dtype=np.float64)

    @property
    def primary(self) -> str:
        """The score that decides between two models."""
        return "accuracy" if self.name == "classify" else "mae"

    def prior(self, targets: NDArray[np.float64], n: int) -> NDArray[np.float64]:
        """What somebody without a model would answer n times: the class frequencies, or the mean."""
        import numpy as np

        if self.name == "regress":
            return np.full(n, targets.mean())
        counts = np.bincount(targets.astype(int), minlength=len(self.labels)) + 1e-9
        return np.tile(counts / counts.sum(), (n, 1))


class Examples:
    """Rows with the ways to decode and to encode them, each done once and only if asked for."""

    def __init__(
        self,
        rows: Sequence[Row],
        task: Task,
        decode: Callable[[Row], Sample],
        encode: Callable[[Examples], NDArray[np.float32]],
    ) -> None:
        self.rows, self.task, self._decode, self._encode = rows, task, decode, encode

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def samples(self) -> list[Sample]:
        return [self._decode(row) for row in self.rows]

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[n, width] from the base; cached in the dataset while training."""
        return self._encode(self)

    @cached_property
    def targets(self) -> NDArray[np.float64]:
        return self.task.targets(self.rows)


@dataclass(frozen=True)
class Predictions:
    """Answers beside the truth: probabilities [n, labels] or values [n], and targets [n]."""

    task: Task
    answers: NDArray[np.float64]
    targets: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.intp]) -> Predictions:
        return Predictions(self.task, self.answers[rows], self.targets[rows])


def _numbers(values: Sequence[str]) -> list[float]:
    import math

    numbers = []
    for value in values:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise UsageError(
                "regress needs a number as every label", f"one is {value!r}", "for words type task=classify"
            )
        numbers.append(number)
    return numbers
