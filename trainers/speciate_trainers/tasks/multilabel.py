"""multilabel: any number of the labels at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError, UsageError
from speciate.task import Task
from speciate_trainers.tasks.cells import known, parts
from speciate_trainers.tasks.options import MultilabelOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Multilabel"]


class Multilabel(Task):
    """Targets are 0 or 1 for each label, answers the probability of each: [n, labels]; they need not sum to 1."""

    name = "multilabel"
    primary = "label_f1"
    pipeline = "{format}-classification"

    @cached_property
    def chosen(self) -> MultilabelOptions:
        return MultilabelOptions(**self.options)

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        chosen = MultilabelOptions(**options)
        if not 0 < chosen.threshold < 1:
            do = "type task.threshold=0.5"
            raise UsageError(f"task.threshold={chosen.threshold}", "it is a probability between 0 and 1", do)
        values = [parts(row["label"], chosen.separator) for row in rows]
        labels = tuple(sorted({label for value in values for label in value}))
        if not labels:
            found = f"{where} has {len(values)} labelled rows, and none names a label"
            raise SpeciateError("there is no label to learn", found, "write labels as a|b, or as a JSON list")
        if len(labels) > max(50, len(values) // 2):
            exists = f"{where} has {len(labels)} different labels in {len(values)} rows"
            do = f"is task.separator={chosen.separator!r} what stands between two labels?"
            raise SpeciateError("multilabel wants labels that repeat", exists, do)
        return cls(labels, options)

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        index = {label: i for i, label in enumerate(self.labels)}
        values = [parts(row["label"], self.chosen.separator) for row in rows]
        known(self.labels, [label for value in values for label in value])
        found = np.zeros((len(rows), len(self.labels)))
        for i, value in enumerate(values):
            found[i, [index[label] for label in value]] = 1.0
        return found

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        return [
            {
                "labels": [label for label, p in zip(self.labels, row, strict=True) if p >= self.chosen.threshold],
                "scores": dict(zip(self.labels, map(float, row), strict=True)),
            }
            for row in answers
        ]

    def answers(self, outputs: Sequence[Row]) -> NDArray[np.float64]:
        found = [[output["scores"][label] for label in self.labels] for output in outputs]
        return np.array(found, dtype=np.float64).reshape(len(outputs), len(self.labels))

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[np.float64]:
        """How often each label occurs."""
        return np.tile(targets.mean(axis=0), (n, 1))

    def shape(self) -> tuple[int, ...]:
        return (len(self.labels),)

    def says(self) -> str:
        return f"Any of: {', '.join(f'`{label}`' for label in self.labels)}."

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        return [({}, ["a", "b|a", "[]", "c"]), ({"separator": ";", "threshold": 0.3}, ["x", "x;y", '["y"]'])]

    def wanted(self) -> str:
        return f"Answer with those of these that fit, with commas between, or with none: {', '.join(self.labels)}."

    def read(self, text: str) -> str | None:
        found = self.named(text)
        return json.dumps(found) if found or self._none(text) else None

    def _none(self, text: str) -> bool:
        return text.casefold().strip("\"'`*. ") == "none"

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import linear

        return linear(width, len(self.labels))

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(targets.astype(np.float32))

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits

        smooth = targets * (1 - smoothing) + smoothing / 2
        return binary_cross_entropy_with_logits(scores.float(), smooth, reduction="none").sum(dim=1)

    def decide(self, scores: Tensor) -> Tensor:
        return scores.double().sigmoid()

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """Kullback-Leibler of each label from the teacher, both softened; times T^2, so that gradients keep their
        size."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        softened = (teacher.double().clamp(1e-12, 1 - 1e-12).logit() / temperature).sigmoid()
        ours = scores.double() / temperature
        apart = binary_cross_entropy_with_logits(ours, softened, reduction="none")
        least = binary_cross_entropy_with_logits(softened.logit(), softened, reduction="none")
        return (apart - least).sum(dim=1).float() * temperature**2
