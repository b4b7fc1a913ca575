"""classify: one of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError
from speciate.task import Task
from speciate_trainers.tasks.cells import places

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Classify"]


class Classify(Task):
    """Targets are indexes in `labels`; answers are probabilities [n, labels]."""

    name = "classify"
    primary = "accuracy"
    pipeline = "{format}-classification"

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        values = [str(row["label"]) for row in rows]
        labels = tuple(sorted(set(values)))
        if len(labels) < 2:
            found = f"every labelled row of {where} says {labels[0]!r}" if labels else f"{where} has no labelled row"
            raise SpeciateError("a classifier needs at least two labels", found, "add rows with other labels")
        if len(labels) > max(50, len(values) // 2):
            exists = f"{where} has {len(labels)} different labels in {len(values)} rows"
            raise SpeciateError("classify wants labels that repeat", exists, "for numbers type task=regress")
        return cls(labels, options)

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        return places(self.labels, rows)

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
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
        return np.array([[output["scores"][label] for label in self.labels] for output in outputs], dtype=np.float64)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[np.float64]:
        """How often each label occurs."""
        counts = np.bincount(targets.astype(int), minlength=len(self.labels)) + 1e-9
        return np.tile(counts / counts.sum(), (n, 1))

    def shape(self) -> tuple[int, ...]:
        return (len(self.labels),)

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        return [({}, ["a", "b"]), ({}, ["a", "b", "c"])]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[np.float64] = np.eye(len(self.labels))[targets.astype(int)]
        return found

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import linear

        return linear(width, len(self.labels))

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(targets.astype(np.int64))

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(scores.float(), targets, reduction="none", label_smoothing=smoothing)

    def decide(self, scores: Tensor) -> Tensor:
        return scores.double().softmax(dim=1)

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler from the teacher, both softened; times T^2, so that gradients keep their size."""
        softened = (teacher.double().clamp(min=1e-12).log() / temperature).softmax(dim=1)
        ours = (scores.double() / temperature).log_softmax(dim=1)
        return (softened * (softened.clamp(min=1e-12).log() - ours)).sum(dim=1).float() * temperature**2
