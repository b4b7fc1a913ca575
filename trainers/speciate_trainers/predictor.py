"""The answering half of the probe: numpy only, so that predict and serve never import Lightning.

Labels of places are answered by the base's own network with the head upon it, as after any other method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate.contracts import Encoder, Predictor
from speciate.task import Examples, Task


class ProbePredictor:
    """A linear layer on the base's features; in float64, so that batch shape never shows in the answer."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], task: Task, encoder: Callable[[], Encoder]) -> None:
        self.task = task
        self.weight, self.bias = (tensors[name].astype(np.float64) for name in ("weight", "bias"))
        self.shift, self.scale = tensors["shift"], tensors["scale"]
        self.spread = tensors.get("spread")
        self._places = _of_places(tensors, task, encoder) if task.needs == "places" else None

    def predict(self, examples: Examples) -> NDArray[Any]:
        if self._places is not None:
            return self._places.predict(examples)
        x = examples.features.astype(np.float64) @ self.weight.T + self.bias
        if self.task.name == "regress":
            return self._values(x * self.scale + self.shift)
        if self.task.name == "multilabel":
            each: NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))  # the logistic function, without overflow
            return each
        x = np.exp(x - x.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = x / x.sum(axis=1, keepdims=True)
        return probabilities

    def _values(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """As the task has them; a spread is that on the dev rows, the same for all."""
        if "std" in self.task.gives():
            assert self.spread is not None
            values = np.stack([values, np.broadcast_to(self.spread, values.shape)], axis=-1)
        return values if len(self.task.labels) > 1 else values[:, 0]


def _of_places(tensors: Mapping[str, NDArray[Any]], task: Task, encoder: Callable[[], Encoder]) -> Predictor:
    from speciate_trainers.tuned import TunedPredictor

    return TunedPredictor({f"head.layer.{name}": tensors[name] for name in ("weight", "bias")}, task, encoder)
