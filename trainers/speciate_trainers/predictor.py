"""The answering half of the probe: numpy only, so that predict and serve never import Lightning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate.task import Examples, Task


class ProbePredictor:
    """A stack of linear layers on the base's features; float64, so that batch shape never shows in the answer."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]], task: Task) -> None:
        self.task = task
        self.layers = [
            (tensors[f"{i}.weight"].astype(np.float64), tensors[f"{i}.bias"].astype(np.float64))
            for i in range(len(tensors))
            if f"{i}.weight" in tensors
        ]
        self.shift, self.scale = tensors.get("shift", np.zeros(1)), tensors.get("scale", np.ones(1))

    def predict(self, examples: Examples) -> NDArray[np.float64]:
        x = examples.features.astype(np.float64)
        for depth, (weight, bias) in enumerate(self.layers):
            x = (np.maximum(x, 0) if depth else x) @ weight.T + bias
        if self.task.name == "regress":
            values: NDArray[np.float64] = x[:, 0] * self.scale[0] + self.shift[0]
            return values
        x = np.exp(x - x.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float64] = x / x.sum(axis=1, keepdims=True)
        return probabilities
