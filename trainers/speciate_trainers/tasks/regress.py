"""regress: a number."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, UsageError
from speciate.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Regress"]


class Regress(Task):
    """Targets and answers are values [n]; the head counts in spreads of the training targets about their mean."""

    name = "regress"
    primary = "mae"

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        _numbers([str(row["label"]) for row in rows])
        return cls((), options)

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        return np.array(_numbers([str(row["label"]) for row in rows]), dtype=np.float64)

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        return [{"value": float(value)} for value in answers]

    def answers(self, outputs: Sequence[Row]) -> NDArray[np.float64]:
        return np.array([output["value"] for output in outputs], dtype=np.float64)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[np.float64]:
        """The mean."""
        return np.full(n, targets.mean())

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """In spreads of the answers."""
        return super().gap(a, b) / (float(a.std()) or 1.0) if len(a) else 0.0

    def shape(self) -> tuple[int, ...]:
        return ()

    def wanted(self) -> str:
        return "Answer with one number and nothing else."

    def read(self, text: str) -> str | None:
        found = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", text)
        return found[0] if len(found) == 1 else None

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import Scaled

        return Scaled(width, targets.mean(), targets.std() or 1.0)

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(targets.astype(np.float32))

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Half the squared error, in spreads."""
        return ((scores[:, 0] - targets) / scores[:, 1]).square() / 2

    def decide(self, scores: Tensor) -> Tensor:
        return scores[:, 0].double()

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return self.loss(scores, teacher.to(scores.dtype))


def _numbers(values: Sequence[str]) -> list[float]:
    numbers = []
    for value in values:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            exists = f"one is {value!r}"
            raise UsageError("regress needs a number as every label", exists, "for words type task=classify")
        numbers.append(number)
    return numbers
