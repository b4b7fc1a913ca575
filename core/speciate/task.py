"""What is learnt: the Task, the Examples a Method learns it from, and the Predictions an Evaluator judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from speciate.contracts import Loader, Row, Sample
from speciate.errors import SpeciateError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["Examples", "Predictions", "Task"]

FILLED = 16  # rows whose large content is read together


@dataclass(frozen=True)
class Task:
    """One task of a kind, as the labels of a dataset pose it. A plugin's task is a subclass of this.

    The first half reads labels and writes answers, in numpy. The second half learns, in torch, which it imports in
    its own functions, so that a model that needs no torch serves without it.
    """

    name: ClassVar[str]
    primary: ClassVar[str]  # the evaluator that decides between two models
    together: ClassVar[int] = 8  # rows that a trained base is asked at once
    labels: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        """The task that labelled rows pose; `where` names them in errors."""
        return cls((), options)

    def targets(self, rows: Sequence[Row]) -> NDArray[Any]:
        """Labels as an array with one entry a row; raises SpeciateError for a label that cannot be one."""
        raise NotImplementedError

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        """A Predictor's array as the JSON a person gets."""
        raise NotImplementedError

    def answers(self, outputs: Sequence[Row]) -> NDArray[Any]:
        """The array that `outputs` came from."""
        raise NotImplementedError

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[Any]:
        """What somebody without a model, who has seen these targets, would answer n times."""
        raise NotImplementedError

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """How far two answers to the same rows are apart: 0 for the same, about 1 for as far as can be."""
        return float(abs(a - b).max(initial=0.0))

    def shape(self) -> tuple[int, ...] | None:
        """Of the answer to one row, where every row has the same."""
        return None

    # --- learning -------------------------------------------------------------------------------------------------

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        """What turns what the base gives ([n, width], or [n, width, *places]) into scores; it may look at the targets
        of the training rows, to start well."""
        raise NotImplementedError

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        """Targets as `loss` wants them."""
        import torch

        return torch.from_numpy(targets)

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """The loss of each row: [n]. `smoothing` is the share of a target that is spread over all labels."""
        raise NotImplementedError

    def decide(self, scores: Tensor) -> Tensor:
        """Scores of the head as answers."""
        raise NotImplementedError

    def answered(self, scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> NDArray[Any]:
        """`decide` as an array; `sizes` are those of the samples, where the task is learnt from places."""
        answers: NDArray[Any] = self.decide(scores).cpu().numpy()
        return answers

    def shown(self, sample: Sample, target: Any) -> Sample:
        """What the network is given of a row that is learnt from."""
        return sample

    def answer(
        self, encoder: Any, scores: Callable[[Sequence[Sample]], Tensor], samples: Sequence[Sample], rows: Sequence[Row]
    ) -> NDArray[Any]:
        """What a trained base says of samples; `scores` are those of its head. Rows may hold their labels."""
        return self.answered(scores(samples), [])

    def pieces(self, encoder: Any, sample: Sample) -> Iterator[str]:
        """The answer to a sample in pieces, as they come."""
        raise UsageError(f"answers of task {self.name!r} come whole", "", "ask for the answer itself")

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """How far each row's scores are from a teacher's answers: [n]. What a student learns from."""
        raise UsageError(f"task {self.name!r} cannot be learnt from a teacher's answers", "", "use another method")


class Examples:
    """Rows with the ways to decode, to encode and to load them, each done once and only if asked for."""

    def __init__(
        self,
        rows: Sequence[Row],
        task: Task,
        decode: Callable[[Row], Sample],
        encode: Callable[[Examples], NDArray[np.float32]],
        load: Callable[..., Loader] | None = None,
        fill: Callable[[Sequence[Row]], Sequence[Row]] = list,
    ) -> None:
        self.rows, self.task, self._decode, self._encode = rows, task, decode, encode
        self._load, self._fill = load, fill

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def samples(self) -> list[Sample]:
        return list(self.each())

    def each(self) -> Iterator[Sample]:
        """The samples one after the other, with the content of few rows in memory."""
        for start in range(0, len(self.rows), FILLED):
            yield from map(self._decode, self._fill(self.rows[start : start + FILLED]))

    @cached_property
    def features(self) -> NDArray[np.float32]:
        """[n, width] from the base; cached in the dataset while training."""
        return self._encode(self)

    @cached_property
    def targets(self) -> NDArray[Any]:
        return self.task.targets(self.rows)

    def loader(self, **options: Any) -> Loader:
        """Batches to train on (see `contracts.Dataset.loader`); what is collated are pairs of a sample and its row."""
        if self._load is None:
            raise SpeciateError("these examples cannot be loaded in batches", "they stand in no dataset", "")
        return self._load([row["id"] for row in self.rows], **options)


@dataclass(frozen=True)
class Predictions:
    """Answers beside the truth, as the Task has them: of classify probabilities [n, labels] and indexes [n]."""

    task: Task
    answers: NDArray[Any]
    targets: NDArray[Any]

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.intp]) -> Predictions:
        return Predictions(self.task, self.answers[rows], self.targets[rows])
