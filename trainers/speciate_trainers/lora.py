"""lora: low-rank additions to a base's layers, through peft; served without it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speciate import Job, UsageError
from speciate_trainers.depth import grouped
from speciate_trainers.full import arrays, check, started, trainable
from speciate_trainers.learner import Learner, Objective
from speciate_trainers.loop import train
from speciate_trainers.options import LoraOptions
from speciate_trainers.parts import fresh, part, sizes_of

__all__ = ["LoraTrainer", "adapted"]

KINDS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LoraTrainer:
    """Few weights learn, so that few rows do, and a model is a small file (method.keep=adapter)."""

    def __init__(self, options: LoraOptions) -> None:
        check(options)
        if options.rank < 1 or options.keep not in ("merged", "adapter"):
            asked = f"method.rank={options.rank} method.keep={options.keep}"
            raise UsageError(
                asked, "rank is at least 1; keep is merged or adapter", "type method.rank=8 method.keep=merged"
            )
        self.options = options

    def fit(self, job: Job, objective: Objective | None = None) -> dict[str, NDArray[Any]]:
        encoder = trainable(job)
        head = started(job, encoder, self.options)
        network = part(encoder, job.task)[0]
        new = fresh(network)
        adapted(network, self.options)
        low = [p for name, p in network.named_parameters() if ".lora_" in name or name.startswith(new)]
        learner = Learner(network, head, job.task, self.options, grouped(low, head, self.options), objective)
        train(job, learner, encoder.batch, sizes_of(encoder, job.task))
        return self._kept(learner)

    def _kept(self, learner: Learner) -> dict[str, NDArray[Any]]:
        """Additions as `LAYER.weight|a`, `|b` and `|scale`, or added to the weights: either way peft is gone."""
        found = {name: array for name, array in arrays(learner.learnt()).items() if ".lora_" not in name}
        for name, layer in learner.named_modules():
            if not hasattr(layer, "lora_A"):
                continue
            low, high = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            scale, key = float(layer.scaling["default"]), f"{name}.weight"
            if self.options.keep == "adapter":
                found |= arrays({f"{key}|a": low, f"{key}|b": high})
                found[f"{key}|scale"] = np.array([scale])
            else:
                added = scale * (high.flatten(1) @ low.flatten(1))
                weight = layer.base_layer.weight
                found |= arrays({key: weight.float() + added.reshape(weight.shape)})
        return found


def adapted(network: nn.Module, options: LoraOptions) -> None:
    """Put low-rank additions into the layers that the options name."""
    from peft import LoraConfig, inject_adapter_in_model

    new = fresh(network)  # there is nothing yet to add to
    layers = [
        name
        for name, module in network.named_modules()
        if isinstance(module, KINDS) and getattr(module, "groups", 1) == 1 and name and not name.startswith(new)
    ]
    chosen = [name for name in layers if options.layers == "all" or re.search(options.layers, name)]
    if not chosen:
        there = ", ".join(layers[:5]) or "none"
        raise UsageError(
            f"no layer fits method.layers={options.layers!r}", f"layers are such as {there}", "type method.layers=all"
        )
    config = LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules="|".join(map(re.escape, chosen)),  # a list would also match the ends of other names
    )
    with torch.no_grad():
        inject_adapter_in_model(config, network)
