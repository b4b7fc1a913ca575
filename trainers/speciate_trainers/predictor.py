"""The answering half of the probe: numpy only, so that predict and serve never import Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate.contracts import Encoder
from speciate.task import Examples, Task


class ProbePredictor:
    """A linear layer on the base's features; in float64, so that batch shape never shows in the answer."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], task: Task, encoder: Callable[[], Encoder]) -> None:
        self.task = task
        self.weight, self.bias = (tensors[name].astype(np.float64) for name in ("weight", "bias"))
        self.shift, self.scale = float(tensors["shift"][0]), float(tensors["scale"][0])

    def predict(self, examples: Examples) -> NDArray[np.float64]:
        x = examples.features.astype(np.float64) @ self.weight.T + self.bias
        if self.task.name == "regress":
            values: NDArray[np.float64] = x[:, 0] * self.scale + self.shift
            return values
        x = np.exp(x - x.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = x / x.sum(axis=1, keepdims=True)
        return probabilities
