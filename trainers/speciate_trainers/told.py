"""Training rows of which some say what a teacher says, and the loss that listens to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speciate import Row, Sample
from speciate.contracts import Loader
from speciate.task import Examples
from speciate_trainers.data import Batch
from speciate_trainers.learner import Learner

__all__ = ["Taught", "Told"]

Pair = tuple[Sample, Row]


class Told(Examples):
    """Examples whose rows have the labels given here, in place of those that the dataset has for them."""

    vectors: NDArray[Any] | None = None  # of the rows, for a network that takes them as they are

    def __init__(self, examples: Examples, rows: Sequence[Row], labels: Mapping[str, str]) -> None:
        told = [{**row, "label": labels.get(row["id"], row["label"])} for row in rows]
        ways = (examples._decode, examples._encode, examples._load, examples._fill, examples._keep)
        super().__init__(told, examples.task, *ways)
        self.labels = labels

    def loader(self, **options: Any) -> Loader:
        known = None if self.vectors is None else {row["id"]: v for row, v in zip(self.rows, self.vectors, strict=True)}
        return super().loader(**{**options, "collate": Says(options["collate"], self.labels, known)})

    @classmethod
    def still(cls, examples: Examples) -> Told:
        """The same ones, with the vectors that the base made of them once."""
        found = cls(examples, examples.rows, getattr(examples, "labels", {}))
        found.features = found.vectors = examples.features
        return found


@dataclass
class Says:
    """A collate for pairs whose rows say something else than in the dataset."""

    collate: Callable[[Sequence[Pair]], Batch]
    labels: Mapping[str, str]
    vectors: Mapping[str, NDArray[Any]] | None = None

    def __call__(self, pairs: Sequence[Pair]) -> Batch:
        return self.collate([self._said(sample, row) for sample, row in pairs])

    def _said(self, sample: Sample, row: Row) -> Pair:
        seen = sample if self.vectors is None else {**sample, "vector": self.vectors[row["id"]]}
        return seen, {**row, "label": self.labels.get(row["id"], row["label"])}


class Taught(nn.Module):
    """The objective of a student: its own label, what the teacher answers, and how the teacher's base sees the row.

    `share` says for each row how much of the loss is the teacher's: 0 only the label counts, 1 only the teacher.
    """

    def __init__(self, ids: Sequence[str], share: NDArray[Any], temperature: float) -> None:
        super().__init__()
        self.place = {id: i for i, id in enumerate(ids)}
        self.share, self.temperature = torch.from_numpy(share).float(), temperature
        self.answers: Tensor | None = None
        self.seen: Tensor | None = None
        self.projection: nn.Linear | None = None
        self.weight = 0.0

    def listen(self, answers: NDArray[Any]) -> None:
        self.answers = torch.from_numpy(answers).nan_to_num()  # of rows that it says nothing about the share is 0

    def look(self, vectors: NDArray[Any], width: int, weight: float) -> None:
        """The projection learns with the student, and is dropped with this."""
        self.seen, self.weight = torch.from_numpy(vectors), weight
        self.projection = nn.Linear(width, vectors.shape[1])

    def forward(self, learner: Learner, scores: Tensor, batch: Batch) -> Tensor:
        at = torch.tensor([self.place[id] for id in batch.ids])
        losses = learner.task.loss(scores, batch.targets, learner.options.smoothing)
        if self.answers is not None:
            share = self.share[at].to(losses.device)
            away = learner.task.distance(scores, self.answers[at].to(losses.device), self.temperature)
            losses = (1 - share) * losses + share * away
        if self.seen is not None and self.projection is not None:
            ours = self.projection(
                learner.vectors.float().flatten(2).mean(2) if learner.vectors.dim() > 2 else learner.vectors
            )
            losses = losses + self.weight * (1 - nn.functional.cosine_similarity(ours, self.seen[at].to(ours.device)))
        return losses
