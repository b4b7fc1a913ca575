"""tag: a label for each residue, written as a letter each ("HHHEE-") or as a JSON list; `-` and `?` are unknown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError
from speciate.masks import HEAD, objects, shown
from speciate.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Tag"]

UNKNOWN = ("-", "?", "")
MOST = 64  # labels: more than that are no labels of residues
NONE = -1  # in targets: nothing is known there
NAMED = 3  # rows that are named in an error


class Tag(Task):
    """Targets and answers are arrays of label indexes, as long as their samples; -1 where nothing is known."""

    name = "tag"
    primary = "tag_accuracy"
    needs = "places"
    pipeline: ClassVar[str] = "token-classification"

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        labels = tuple(sorted({letter for row in rows for letter in _letters(row["label"])} - set(UNKNOWN)))
        if not 2 <= len(labels) <= MOST:
            exists = f"{where} has {len(labels)}: {shown(', '.join(labels)) or 'none'}"
            raise SpeciateError(f"tag wants 2 to {MOST} different labels of residues", exists, "look at the labels")
        return cls(labels, options)

    def targets(self, rows: Sequence[Row]) -> NDArray[Any]:
        index = {label: i for i, label in enumerate(self.labels)} | dict.fromkeys(UNKNOWN, NONE)
        found = []
        for row in rows:
            letters = _letters(row["label"])
            strange = next((letter for letter in letters if letter not in index), None)
            if strange is not None:
                exists = f"the model knows: {', '.join(self.labels)}"
                raise SpeciateError(f"label never seen in training: {strange!r}", exists, "train on rows with it")
            found.append(np.array([index[letter] for letter in letters], np.int16))
        return objects(found)

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        """Text where every label is a letter, else a list."""
        said = [[self.labels[i] for i in answer] for answer in answers]
        short = all(len(label) == 1 for label in self.labels)
        return [{"tags": "".join(one) if short else one} for one in said]

    def answers(self, outputs: Sequence[Row]) -> NDArray[Any]:
        index = {label: i for i, label in enumerate(self.labels)}
        return objects(np.array([index[label] for label in output["tags"]], np.int16) for output in outputs)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[Any]:
        """The commonest label everywhere: one place that stands for all."""
        return objects(np.array([int(np.argmax(self._counts(targets)))], np.int16) for _ in range(n))

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """The share of residues that differ, of the row where it is largest."""
        both = [(x, y) for x, y in zip(a, b, strict=True) if len(x) or len(y)]
        return max((float((x != y).mean()) if len(x) == len(y) else 1.0 for x, y in both), default=0.0)

    def says(self) -> str:
        return f"For each residue one of {', '.join(f'`{label}`' for label in self.labels)}."

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        return [({}, ["HHHHCC", "EEEEC-", "CCHH?E"])]

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        return objects(target.clip(0) for target in targets)

    def _counts(self, targets: NDArray[Any]) -> NDArray[np.float64]:
        counts = np.full(len(self.labels), 1e-6)
        for target in targets:
            counts += np.bincount(target[target >= 0], minlength=len(counts))
        return counts

    # --- learning -------------------------------------------------------------------------------------------------

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        from speciate_trainers.tasks.heads import PlaceHead

        counts = self._counts(targets if targets.dtype == object else np.zeros(0, object))
        return PlaceHead(width, (counts / counts.sum()).tolist())

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        """Filled up with what is unknown."""
        import torch

        filled = np.full((len(targets), max(map(len, targets), default=0)), NONE, np.int64)
        for row, target in zip(filled, targets, strict=True):
            row[: len(target)] = target
        return torch.from_numpy(filled)

    def check(self, targets: NDArray[Any], sizes: Sequence[tuple[int, ...]], rows: Sequence[Row]) -> None:
        both = zip(targets, sizes, rows, strict=True)
        wrong = [(len(t), size[0], row) for t, size, row in both if len(t) != size[0]]
        if wrong:
            said, there, _ = wrong[0]
            exists = ", ".join(f"{row.get('source')} row {row.get('row')}" for *_, row in wrong[:NAMED])
            asked = f"a label of {said} letters for {there} residues, in {exists}"
            raise SpeciateError(asked, "a label has a letter for each residue, - for unknown", "mend or drop the rows")

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """The mean over the residues of each row of which something is known."""
        from torch.nn.functional import cross_entropy

        wanted = targets[:, : scores.shape[2]]
        given = scores[:, :, : wanted.shape[1]].float()
        each = cross_entropy(given, wanted, reduction="none", ignore_index=NONE, label_smoothing=smoothing)
        return each.sum(1) / (wanted != NONE).sum(1).clamp(min=1)

    def decide(self, scores: Tensor) -> Tensor:
        import torch

        return scores.argmax(1).to(torch.int16)

    def answered(self, scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> NDArray[Any]:
        whole = self.decide(scores).cpu().numpy()
        return objects(row[: size[0]] for row, size in zip(whole, sizes, strict=True))


def _letters(label: Any) -> list[str]:
    """A label for each residue."""
    text = str(label)
    if text.startswith(HEAD):
        raise SpeciateError("tag wants a label for each residue", f"one is a {shown(text)}", "type task=segment")
    if not text.startswith("["):
        return list(text)
    try:
        return [str(one if one is not None else "") for one in json.loads(text)]
    except (ValueError, TypeError) as error:
        exists = f"one is {shown(text)}"
        raise SpeciateError("tag wants a letter or a word for each residue", exists, "write HHEE- or a list") from error
