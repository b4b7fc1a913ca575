"""generate: words that go on from a text; the label of a row is what should be said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from speciate import Row, Sample, SpeciateError, UsageError
from speciate.task import Task

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["Generate"]

ANSWER = np.dtype([("text", object), ("nll", np.float64), ("tokens", np.int64)])
MANNER = ("max_tokens", "temperature", "top_p", "seed")


class Generate(Task):
    """Targets are texts. Answers have a `text`, and where the label is known the surprise at it: `nll` in nats over its
    `tokens`, NaN where it is not."""

    name = "generate"
    primary = "token_f1"
    pipeline = "text-generation"
    needs = "language"
    at_once: ClassVar[int] = 64

    @classmethod
    def pose(cls, rows: Sequence[Row], where: str, options: Mapping[str, Any]) -> Self:
        blank = [str(row.get("id", "")) for row in rows if not str(row["label"]).strip()]
        if blank:
            exists = f"{where} has {len(blank)} rows whose label is blank, such as {blank[0]}"
            raise SpeciateError("an answer to learn has at least one word", exists, "drop these rows, or fill them in")
        task = cls((), options)
        manner = task.manner
        if manner.get("max_tokens", 1) < 1 or manner.get("temperature", 0) < 0 or not 0 < manner.get("top_p", 1) <= 1:
            asked = " ".join(f"task.{name}={value}" for name, value in manner.items())
            exists = "max_tokens is at least 1, temperature not negative, top_p above 0 up to 1"
            raise UsageError(asked, exists, "type task.max_tokens=64 task.temperature=0")
        return task

    @property
    def manner(self) -> dict[str, Any]:
        """How an answer is chosen."""
        return {name: self.options[name] for name in MANNER if name in self.options}

    def targets(self, rows: Sequence[Row]) -> NDArray[Any]:
        return _texts([str(row["label"]) for row in rows])

    def outputs(self, answers: NDArray[Any]) -> list[Row]:
        return [{"text": text} for text in answers["text"]]

    def answers(self, outputs: Sequence[Row]) -> NDArray[Any]:
        return np.array([(output["text"], np.nan, 0) for output in outputs], dtype=ANSWER)

    def prior(self, targets: NDArray[Any], n: int) -> NDArray[Any]:
        """What is answered most often."""
        (text, _), *_ = Counter(targets.tolist()).most_common(1)
        return self.answers([{"text": text}] * n)

    def gap(self, a: NDArray[Any], b: NDArray[Any]) -> float:
        """The share of texts that are not the same."""
        return float((a["text"] != b["text"]).mean()) if len(a) else 0.0

    def says(self) -> str:
        return "A text."

    @classmethod
    def examples(cls) -> Sequence[tuple[Mapping[str, Any], Sequence[str]]]:
        return (({}, ["close valve seven", "nothing to do", "Wie bitte?"]), ({"max_tokens": 4}, ["yes", "no"]))

    def certain(self, targets: NDArray[Any]) -> NDArray[Any]:
        answers = np.array([(text, 0.5, 2) for text in targets], dtype=ANSWER)
        answers["nll"] += np.arange(len(targets)) / max(1, len(targets))  # nobody is as sure of every text
        return answers

    def head(self, width: int, targets: NDArray[Any]) -> nn.Module:
        """The base has one of its own."""
        from torch import nn

        return nn.Identity()

    def tensor(self, targets: NDArray[Any]) -> Tensor:
        """The network is given the answers, not the loss."""
        import torch

        return torch.zeros(len(targets))

    def shown(self, sample: Sample, target: Any) -> Sample:
        return {**sample, "answer": target}

    def loss(self, scores: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Every token of an answer counts the same, so a row counts by its length; what is asked is not learnt."""
        if smoothing:
            exists = "the words of an answer are learnt as they are"
            raise UsageError(f"method.smoothing={smoothing}", exists, "type method.smoothing=0")
        return scores[:, 0] * (len(scores) / scores[:, 1].sum())

    def decide(self, scores: Tensor) -> Tensor:
        return scores.double()

    def answered(self, scores: Tensor, sizes: Sequence[tuple[int, ...]]) -> NDArray[Any]:
        """The surprise alone, while it is learnt: to say something takes long."""
        found = np.zeros(len(scores), dtype=ANSWER)
        found["text"] = ""
        found["nll"], found["tokens"] = self.decide(scores).cpu().numpy().T
        return found

    def answer(
        self,
        encoder: Any,
        head: Callable[[Sequence[Sample]], NDArray[Any]],
        samples: Sequence[Sample],
        rows: Sequence[Row],
    ) -> NDArray[Any]:
        known = [row.get("label") for row in rows]
        given = [s if label is None else self.shown(s, str(label)) for s, label in zip(samples, known, strict=True)]
        return np.array([tuple(said) for said in encoder.speak(given, **self.manner)], dtype=ANSWER)

    def pieces(self, encoder: Any, sample: Sample) -> Iterator[str]:
        yield from encoder.stream(sample, **self.manner)


def _texts(words: Sequence[str]) -> NDArray[Any]:
    texts = np.empty(len(words), dtype=object)
    texts[:] = words
    return texts
