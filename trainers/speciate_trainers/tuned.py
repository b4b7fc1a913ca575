"""The answering half of methods that change a base's weights; never imports Lightning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Sample, SpeciateError
from speciate.contracts import Encoder
from speciate.task import Examples, Task
from speciate_trainers.fixed import with_network
from speciate_trainers.parts import part, sizes_of

__all__ = ["TunedPredictor"]

BATCH = 8


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
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network.to(self.device).eval()
        self.head.to(self.device).eval()
        self._lock = threading.Lock()  # a network may keep state while it is asked

    def predict(self, examples: Examples) -> NDArray[Any]:
        found = [self._answers(some) for some in _batches(examples)]
        return np.concatenate(found) if found else self._nothing()

    def _answers(self, samples: list[Sample]) -> NDArray[Any]:
        inputs = {name: tensor.to(self.device) for name, tensor in self.encoder.batch(samples).items()}
        sizes = self._sizes(samples) if self._sizes else []
        with self._lock, torch.inference_mode():
            return self.task.answered(self.head(self.network(**inputs)), sizes)

    def _nothing(self) -> NDArray[Any]:
        return np.zeros((0, *(self.task.shape() or ())))


def _batches(examples: Examples) -> Iterator[list[Sample]]:
    samples = iter(examples.each())
    while some := list(islice(samples, BATCH)):
        yield some


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
