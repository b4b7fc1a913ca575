"""What is learnt: the Task, the Examples a Method learns it from, and the Predictions an Evaluator judges."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from speciate.contracts import Loader, Row, Sample
from speciate.errors import SpeciateError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor, nn

__all__ = ["Examples", "Predictions", "Task"]

Found = TypeVar("Found")
FILLED = 16  # rows whose large content is read together


@dataclass(frozen=True)
class Task:
    """One task of a kind, as the labels of a dataset pose it. A plugin's task is a subclass of this.

    The first half reads labels and writes answers, in numpy. The second half learns, in torch, which it imports in
    its own functions, so that a model that needs no torch serves without it.
    """

    name: ClassVar[str]
    primary: ClassVar[str]  # the evaluator that decides between two models
    pipeline: ClassVar[str] = "other"  # the card's word for models that do this
    needs: ClassVar[str] = "vector"  # what of a base it is learnt from: as TaskKind.needs
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

    def says(self) -> str:
        """What an answer is, in a sentence for the card."""
        return f"One of: {', '.join(f'`{label}`' for label in self.labels)}." if self.labels else "An answer."

    def gives(self) -> tuple[str, ...]:
        """What its answers have that not all of this kind have, for evaluators that need it."""
        return ()

    # --- for the conformance kit ----------------------------------------------------------------------------------

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        """Ways to pose this task: options, and labels as a dataset would have them, each kind of label once."""
        return ()

    # --- answers as labels: what a teacher's answers are to a student ---------------------------------------------

    def written(self, answers: NDArray[Any]) -> list[str]:
        """Answers as the labels that a person would have given: what `outputs` says first."""
        said = [next(iter(output.values())) for output in self.outputs(answers)]
        return [value if isinstance(value, str) else json.dumps(value) for value in said]

    def wanted(self) -> str:
        """How to answer, said to somebody who answers in words."""
        return f"Answer with one of these and nothing else: {', '.join(self.labels)}." if self.labels else ""

    def read(self, text: str) -> str | None:
        """The label that an answer in words means; None where it means none, or several."""
        words = text.strip()
        if not self.labels or words in self.labels:
            return words or None
        plain = words.casefold().strip("\"'`*. ")
        found = [label for label in self.labels if label.casefold() == plain] or self.named(text)
        return found[0] if len(found) == 1 else None

    def named(self, text: str) -> list[str]:
        """The labels that stand in a text as words of their own."""
        plain = text.casefold()
        return [x for x in self.labels if re.search(rf"(?<!\w){re.escape(x.casefold())}(?!\w)", plain)]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        """What somebody who knows these targets, and is sure of them, would answer."""
        return targets

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

    def together(self) -> int:
        """How many rows of one label should stand side by side in a batch, where its rows are compared; 0: any."""
        return 0

    def answered(self, scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> NDArray[Any]:
        """`decide` as an array; `sizes` are those of the samples, where the task is learnt from places."""
        answers: NDArray[Any] = self.decide(scores).cpu().numpy()
        return answers

    def seen(
        self, sample: Sample, row: Row, augment: Callable[..., Sample] | None, rng: Generator
    ) -> tuple[Sample, Row]:
        """A sample to train on seen another way, as the format's `augment` has it; what its row says goes along."""
        return (sample if augment is None else augment(sample, rng)), row

    def check(self, targets: NDArray[Any], sizes: Sequence[tuple[int, ...]], rows: Sequence[Row]) -> None:
        """Refuse rows whose label is not of the size of their sample, where the task is learnt from places."""

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
        keep: Callable[..., NDArray[np.float32]] | None = None,
    ) -> None:
        self.rows, self.task, self._decode, self._encode = rows, task, decode, encode
        self._load, self._fill, self._keep = load, fill, keep

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

    def of(self, rows: Sequence[Row]) -> Examples:
        """Other rows of the same dataset, in the same ways."""
        return Examples(rows, self.task, self._decode, self._encode, self._load, self._fill, self._keep)

    def kept(self, key: str, width: int, compute: Callable[[Examples], NDArray[Any]]) -> NDArray[np.float32]:
        """[n, width]: what `compute` makes of these rows, some at a time, and kept in the dataset under the key."""
        import numpy as np

        if self._keep is None:
            return compute(self).astype(np.float32)
        return self._keep(key, self.rows, width, lambda rows: compute(self.of(rows)).astype(np.float32))

    def loader(self, **options: Any) -> Loader:
        """Batches to train on (see `contracts.Dataset.loader`); what is collated are pairs of a sample and its row."""
        if self._load is None:
            raise SpeciateError("these examples cannot be loaded in batches", "they stand in no dataset", "")
        return self._load([row["id"] for row in self.rows], **options)


@dataclass(frozen=True)
class Predictions:
    """Answers beside the truth, as the Task has them: of classify probabilities [n, labels] and indexes [n].

    Rows that were taken of others know them: a score that looks for a row's neighbours looks among all of `whole`,
    where the row itself is number `rows[i]`.
    """

    task: Task
    answers: NDArray[Any]
    targets: NDArray[Any]
    taken_of: Predictions | None = field(default=None, repr=False)
    taken: NDArray[np.intp] | None = field(default=None, repr=False)
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def whole(self) -> Predictions:
        return self.taken_of or self

    @property
    def rows(self) -> NDArray[np.intp]:
        import numpy as np

        return np.arange(len(self)) if self.taken is None else self.taken

    def take(self, rows: NDArray[np.intp]) -> Predictions:
        return Predictions(self.task, self.answers[rows], self.targets[rows], self.whole, self.rows[rows])

    def once(self, make: Callable[[Predictions], Found]) -> Found:
        """What `make` finds out about these predictions: only once, however many resamples ask."""
        if make not in self._known:
            self._known[make] = make(self)
        found: Found = self._known[make]
        return found
