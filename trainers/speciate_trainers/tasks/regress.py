"""regress: a number or several, and how sure each is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, UsageError
from speciate.task import Task
from speciate_trainers.tasks.cells import parts
from speciate_trainers.tasks.options import RegressOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NARROWEST", "Regress", "spreads"]

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
NINETY = 1.6448536269514722  # standard deviations to either side that hold 90% of a normal distribution
NARROWEST = 1e-4  # a spread, in those of the training targets: one of zero would be infinitely sure
SURE = 0.05  # standard deviation, in spreads of the targets, of an answer that is sure


class Regress(Task):
    """Targets and answers are values [n], of several [n, values]. With uncertainty answers are [..., 2]: the value and
    its standard deviation. The head counts in spreads of the training targets about their mean."""

    name = "regress"
    primary = "mae"

    @cached_property
    def chosen(self) -> RegressOptions:
        return RegressOptions(**self.options)

    @property
    def many(self) -> bool:
        return len(self.labels) > 1

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        chosen = RegressOptions(**options)
        count = max((len(_numbers(row["label"], chosen.separator)) for row in rows), default=1)
        if chosen.names and len(chosen.names) != count:
            asked, exists = f"task.names={list(chosen.names)}", f"the labels of {where} have {count} numbers"
            raise UsageError(asked, exists, "give a name for each number")
        names = tuple(chosen.names) or tuple(f"value{i + 1}" for i in range(count))
        found = cls(names if count > 1 else (), options)
        found.targets(rows)
        return found

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        values, count = [_numbers(row["label"], self.chosen.separator) for row in rows], len(self.labels) or 1
        odd = next((row["label"] for row, value in zip(rows, values, strict=True) if len(value) != count), None)
        if odd is not None:
            exists, do = f"one is {odd!r}", "give all rows as many numbers, in the same order"
            raise UsageError(f"regress needs {count} of them in every label", exists, do)
        return np.array(values, dtype=np.float64).reshape(len(rows), *((count,) if self.many else ()))

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        columns = {"values" if self.many else "value": answers}
        if self.chosen.uncertainty:
            value, std = answers[..., 0], answers[..., 1]
            columns = dict.fromkeys(columns, value) | {"std": std}
            columns |= {"low": value - NINETY * std, "high": value + NINETY * std}
        return [{name: self._said(column[i]) for name, column in columns.items()} for i in range(len(answers))]

    def _said(self, values: Any) -> Any:
        return dict(zip(self.labels, map(float, values), strict=True)) if self.many else float(values)

    def answers(self, outputs: Sequence[Row]) -> NDArray[np.float64]:
        names = ("values" if self.many else "value", *self.gives())
        shape = (len(outputs), *((len(self.labels),) if self.many else ()))
        found = [np.array([self._heard(row[name]) for row in outputs], np.float64).reshape(shape) for name in names]
        return np.stack(found, axis=-1) if self.chosen.uncertainty else found[0]

    def _heard(self, said: Any) -> Any:
        return [said[label] for label in self.labels] if self.many else said

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[np.float64]:
        """The mean, and the spread about it."""
        if not self.chosen.uncertainty:
            return np.full((n, *targets.shape[1:]), targets.mean(axis=0))
        return np.tile(np.stack([targets.mean(axis=0), spreads(targets)], axis=-1), (n,) + (1,) * targets.ndim)

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """In spreads of the answers."""
        if not len(a):
            return 0.0
        values, apart = (a[..., 0], abs(a - b).max(axis=-1)) if self.chosen.uncertainty else (a, abs(a - b))
        return float((apart / spreads(values)).max())

    def shape(self) -> tuple[int, ...]:
        return (*((len(self.labels),) if self.many else ()), *((2,) if self.chosen.uncertainty else ()))

    def says(self) -> str:
        what = f"Numbers: {', '.join(f'`{label}`' for label in self.labels)}" if self.many else "A number"
        return f"{what}, each with its standard deviation." if self.chosen.uncertainty else f"{what}."

    def gives(self) -> tuple[str, ...]:
        return ("std",) if self.chosen.uncertainty else ()

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        one, two = ["1", "2.5", "-4e0"], ["1|10", "2|-5", "[3, 7.5]"]
        sure: dict[str, Any] = {"uncertainty": True}
        return [({}, one), ({"names": ["mass", "size"]}, two), (sure, one), ({"names": ["mass", "size"], **sure}, two)]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        if not self.chosen.uncertainty:
            return targets
        return np.stack([targets, np.broadcast_to(SURE * spreads(targets), targets.shape)], axis=-1)

    def written(self, answers: NDArray[Any]) -> list[str]:
        values = answers[..., 0] if self.chosen.uncertainty else answers
        return [json.dumps(value) for value in values.tolist()]

    def wanted(self) -> str:
        several = f"{len(self.labels)} numbers, in this order and with commas between: {', '.join(self.labels)};"
        return f"Answer with {several if self.many else 'one number'} and nothing else."

    def read(self, text: str) -> str | None:
        """The numbers in a text, if there are as many as there should be."""
        found = re.findall(NUMBER, text)
        if len(found) != (len(self.labels) or 1):
            return None
        return json.dumps([float(value) for value in found]) if self.many else str(found[0])

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import Scaled

        known = targets if len(self.labels) < 2 or targets.ndim == 2 else np.zeros((1, len(self.labels)))
        return Scaled(width, known.mean(axis=0), spreads(known), self.chosen.uncertainty)

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(targets.astype(np.float32))

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Half the squared error, in spreads; where they are learnt, too, what a normal distribution says of it."""
        value, spread = scores.float().unbind(dim=-1)
        losses = ((value - targets) / spread).square() / 2
        if self.chosen.uncertainty:
            losses = losses + spread.log()
        return losses.mean(dim=1) if self.many else losses

    def decide(self, scores: Tensor) -> Tensor:
        return scores.double() if self.chosen.uncertainty else scores[..., 0].double()

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """As of a target; Kullback-Leibler of two normal distributions where spreads are learnt."""
        if not self.chosen.uncertainty:
            return self.loss(scores, teacher.to(scores.dtype))
        (value, spread), (theirs, wide) = scores.float().unbind(dim=-1), teacher.float().unbind(dim=-1)
        apart = (spread / wide).log() + (wide.square() + (theirs - value).square()) / (2 * spread.square()) - 0.5
        return apart.mean(dim=1) if self.many else apart


def spreads(values: NDArray[Any]) -> NDArray[np.float64]:
    """The standard deviation of each column, and 1 of a constant."""
    found = np.asarray(values.std(axis=0), dtype=np.float64)
    return np.where(found > 0, found, 1.0)


def _numbers(cell: object, separator: str) -> list[float]:
    numbers = []
    for value in parts(cell, separator):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            exists = f"one is {value!r}"
            raise UsageError("regress needs a number as every label", exists, "for words type task=classify")
        numbers.append(number)
    return numbers
