"""The answering half of methods that change a base's weights; never imports Lightning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Row, Sample, SpeciateError
from speciate.contracts import Encoder
from speciate.task import Examples, Task
from speciate_trainers.fixed import Fixed, with_network
from speciate_trainers.parts import part, sizes_of

__all__ = ["TunedPredictor"]


class TunedPredictor:
    """The base with the weights that were learnt in place of its own, and the head."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], task: Task, encoder: Callable[[], Encoder]) -> None:
        self.task = task
        self.encoder = with_network(encoder())
        self.network, width = part(self.encoder, task)
        self.head = task.head(width, np.zeros(1))
        self._sizes = sizes_of(self.encoder, task)
        _put(self.network, "network.", tensors)
        _put(self.head, "head.", tensors)
        if isinstance(self.encoder, Fixed):
            self.encoder.answers(self.head)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network.to(self.device).eval()
        self.head.to(self.device).eval()
        self._lock = threading.Lock()  # a network may keep state while it is asked

    def predict(self, examples: Examples) -> NDArray[Any]:
        found = [self._answers(*some) for some in _batches(examples, self.task.at_once)]
        return np.concatenate(found) if found else self._nothing()

    def stream(self, sample: Sample) -> Iterator[str]:
        """The answer in pieces, as they come, where the task has such."""
        with self._lock:
            yield from self.task.pieces(self.encoder, sample)

    def _answers(self, samples: list[Sample], rows: list[Row]) -> NDArray[Any]:
        with self._lock, torch.inference_mode():
            return self.task.answer(self.encoder, self._answered, samples, rows)

    def _answered(self, samples: Sequence[Sample]) -> NDArray[Any]:
        inputs = {name: tensor.to(self.device) for name, tensor in self.encoder.batch(samples).items()}
        sizes = self._sizes(samples) if self._sizes else []
        return self.task.answered(self.head(self.network(**inputs)), sizes)

    def _nothing(self) -> NDArray[Any]:
        shape = self.task.shape()
        return self.task.answers([]) if shape is None else np.zeros((0, *shape))


def _batches(examples: Examples, size: int) -> Iterator[tuple[list[Sample], list[Row]]]:
    pairs = zip(examples.each(), examples.rows, strict=True)
    while some := list(islice(pairs, size)):
        yield [sample for sample, _ in some], [row for _, row in some]


def _put(module: torch.nn.Module, prefix: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Tensors of a module by name; those of low rank are added to the weights they belong to."""
    there = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    with torch.no_grad():
        for name, array in tensors.items():
            if not name.startswith(prefix):
                continue
            key, _, part = name.removeprefix(prefix).partition("|")
            if key not in there or (not part and there[key].shape != array.shape):
                raise SpeciateError(f"the weights do not fit the base: {key}", "", "copy the model again")
            if not part:
                there[key].copy_(torch.from_numpy(np.asarray(array)))
            elif part == "a":
                low, high = (torch.from_numpy(tensors[f"{prefix}{key}|{half}"]).flatten(1) for half in "ab")
                scale = float(tensors[f"{prefix}{key}|scale"][0])
                there[key].add_((scale * (high @ low)).reshape(there[key].shape).to(there[key].dtype))
