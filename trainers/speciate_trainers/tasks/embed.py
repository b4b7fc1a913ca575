"""embed: vectors that lie near where labels are the same, to find what is like something."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError, UsageError
from speciate.task import Task
from speciate_trainers.tasks.options import EmbedOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Embed"]

FAR = 2.0  # between two vectors of length 1 that point apart
BYTES = 6  # of a label's hash: a float64 holds it whole


class Embed(Task):
    """Targets are numbers that are equal where labels are; answers are vectors of length 1: [n, width].

    Labels may be identities of which a model has never seen one: all it promises is what lies near what.
    """

    name = "embed"
    primary = "retrieval_map"
    pipeline = "feature-extraction"

    @cached_property
    def chosen(self) -> EmbedOptions:
        return EmbedOptions(**self.options)

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        _check(EmbedOptions(**options))
        counts = Counter(str(row["label"]) for row in rows)
        repeated = sum(count > 1 for count in counts.values())
        if not repeated or len(counts) < 2:
            exists = (
                f"{where} has {len(counts)} different labels in {len(rows)} rows, {repeated} of them more than once"
            )
            do = "add rows of other labels" if repeated else "add more rows of each label"
            raise SpeciateError("embed compares rows of one label with those of others", exists, do)
        return cls((), options)

    def targets(self, rows: Sequence[Row]) -> NDArray[np.float64]:
        return np.array([_number(str(row["label"])) for row in rows], dtype=np.float64)

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        return [{"embedding": vector} for vector in answers.tolist()]

    def answers(self, outputs: Sequence[Row]) -> NDArray[np.float64]:
        return np.array([output["embedding"] for output in outputs], dtype=np.float64).reshape(len(outputs), -1)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[np.float64]:
        """One vector for all: every row is as near as every other."""
        return np.tile(np.eye(1, self.chosen.width or 1), (n, 1))

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """The distance of the two that moved most."""
        return float(np.linalg.norm(a - b, axis=-1).max(initial=0.0)) / FAR

    def shape(self) -> tuple[int, ...] | None:
        return (self.chosen.width,) if self.chosen.width else None

    def says(self) -> str:
        wide = f"of {self.chosen.width} numbers " if self.chosen.width else ""
        return f"A vector {wide}and length 1: the larger the dot product of two, the more alike what they are of."

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        names = ["ann", "bob", "cleo"]
        return [({"width": 8}, names), ({"width": 4, "loss": "triplet"}, names), ({"width": 0}, names)]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        """Each label in a direction of its own, as far as there are directions."""
        number = np.unique(targets, return_inverse=True)[1]
        width = self.chosen.width or max(number, default=0) + 1
        return np.eye(width)[number % width] * np.where(number // width % 2, -1.0, 1.0)[:, None]

    # --- learning -------------------------------------------------------------------------------------------------

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        """A turn of the base's vectors, so that what was near stays near."""
        from torch import nn

        if not self.chosen.width:
            return nn.Identity()
        layer = nn.Linear(width, self.chosen.width, bias=False)
        nn.init.orthogonal_(layer.weight)
        return layer

    def together(self) -> int:
        return self.chosen.together

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        import torch

        return torch.from_numpy(targets.astype(np.int64))

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Of each row against the others of its batch; of one without another of its label nothing is learnt, and the
        rest counts for it."""
        from torch.nn.functional import normalize

        vectors = normalize(scores.float(), dim=1)
        same = targets[:, None] == targets[None, :]
        near = vectors @ vectors.T
        found, counts = (self._triplet if self.chosen.loss == "triplet" else self._contrastive)(near, same)
        return found * counts * (len(counts) / counts.sum().clamp(min=1))

    def _contrastive(self, near: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
        """How surprising the rows of its label are among all others."""
        import torch

        itself = torch.eye(len(near), dtype=torch.bool, device=near.device)
        others = (near / self.chosen.temperature).masked_fill(itself, float("-inf")).log_softmax(dim=1)
        positive = same & ~itself
        counts = positive.sum(dim=1)
        return -others.masked_fill(~positive, 0.0).sum(dim=1) / counts.clamp(min=1), (counts > 0).to(near.dtype)

    def _triplet(self, near: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
        """By how much the farthest of its label is not nearer than the nearest of another."""
        import torch

        itself = torch.eye(len(near), dtype=torch.bool, device=near.device)
        farthest = near.masked_fill(~same | itself, FAR).amin(dim=1)
        nearest = near.masked_fill(same, -FAR).amax(dim=1)
        counts = (same & ~itself).any(dim=1) & (~same).any(dim=1)
        return (self.chosen.margin + nearest - farthest).clamp(min=0), counts.to(near.dtype)

    def decide(self, scores: Tensor) -> Tensor:
        from torch.nn.functional import normalize

        return normalize(scores.double(), dim=1)

    def distance(self, scores: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        """One minus the cosine, of vectors as wide; else how differently the rows of the batch lie to each other."""
        ours, theirs = self.decide(scores), teacher.to(scores.device).double()
        if ours.shape == theirs.shape:
            return (1 - (ours * theirs).sum(dim=1)).float()
        return (ours @ ours.T - theirs @ theirs.T).square().mean(dim=1).float()


def _check(chosen: EmbedOptions) -> None:
    if chosen.loss not in ("contrastive", "triplet"):
        raise UsageError(f"task.loss={chosen.loss}", "there is: contrastive, triplet", "type task.loss=contrastive")
    if chosen.width < 0 or chosen.together < 0 or not chosen.temperature > 0 or not 0 < chosen.margin < FAR:
        asked = f"task.width={chosen.width} task.together={chosen.together}"
        asked += f" task.temperature={chosen.temperature} task.margin={chosen.margin}"
        exists = "width and together are not negative, temperature is above 0, margin between 0 and 2"
        raise UsageError(asked, exists, "type task.temperature=0.1 task.margin=0.2")


def _number(label: str) -> int:
    """The same for the same label, in every process."""
    return int.from_bytes(hashlib.blake2b(label.encode(), digest_size=BYTES).digest())
