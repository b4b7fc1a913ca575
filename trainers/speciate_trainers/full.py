"""full: the base's own weights go on learning, together with a head."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from speciate import Job, UsageError, world
from speciate_trainers.depth import layered
from speciate_trainers.learner import Learner, Objective
from speciate_trainers.loop import train
from speciate_trainers.options import FullOptions, ProbeOptions, TrainOptions
from speciate_trainers.parts import part, sizes_of
from speciate_trainers.probe import LOSSES, ProbeTrainer
from speciate_trainers.tasks.heads import PlaceHead, Scaled

__all__ = ["FullTrainer", "arrays", "check", "started", "trainable"]


class FullTrainer:
    """Starts where the probe ends, so that it can only get better."""

    def __init__(self, options: FullOptions) -> None:
        check(options)
        self.options = options

    def fit(self, job: Job, objective: Objective | None = None) -> dict[str, NDArray[Any]]:
        encoder = trainable(job)
        head = started(job, encoder, self.options)
        network = part(encoder, job.task)[0]
        groups = layered(network, head, self.options)
        freeze = self.options.freeze_norm
        learner = Learner(network, head, job.task, self.options, groups, objective, freeze)
        train(job, learner, encoder.batch, sizes_of(encoder, job.task))
        return arrays(learner.learnt())


def check(options: TrainOptions) -> None:
    """Values that no training can go on with, said at once."""
    for name, low in (("epochs", 1), ("batch_size", 1), ("patience", 0), ("eval_every", 0), ("save_every", 0)):
        if getattr(options, name) < low:
            raise UsageError(
                f"method.{name}={getattr(options, name)}", f"it is at least {low}", f"type method.{name}=N"
            )
    if not 0 < options.lr < 10 or not 0 <= options.warmup < 1 or not 0 <= options.ema < 1:
        asked = f"method.lr={options.lr} method.warmup={options.warmup} method.ema={options.ema}"
        raise UsageError(asked, "lr is above 0, warmup and ema are from 0 to below 1", "type method.lr=1e-4")
    if options.start not in ("probe", "zero"):
        raise UsageError(f"method.start={options.start}", "there is: probe, zero", "type method.start=probe")


def trainable(job: Job) -> Any:
    """The base, which must be one that can be trained."""
    encoder = job.encoder() if job.encoder else None
    if not hasattr(encoder, "places" if job.task.needs == "places" else "network"):
        asked = f"{type(encoder).__name__} has no network to train"
        raise UsageError(asked, "it is a base of fixed features", "type method=probe, or choose another base")
    return encoder


def started(job: Job, encoder: Any, options: TrainOptions) -> nn.Module:
    """The head: the probe's where the task has one, so that training starts from the best the frozen base can do."""
    torch.manual_seed(job.seed)
    head = job.task.head(part(encoder, job.task)[1], job.train.targets)
    if options.start == "probe" and job.task.name in LOSSES:
        quiet = dataclasses.replace(job, journal=None, trainer={})
        with world.first():
            found = ProbeTrainer(ProbeOptions(refit=False)).fit(quiet)
        learnt = {name: torch.from_numpy(array) for name, array in found.items()}
        if isinstance(head, Scaled):
            head.start(learnt["weight"], learnt["bias"], learnt["spread"])
        else:
            layer = head.layer if isinstance(head, PlaceHead) else head
            layer.load_state_dict({name: learnt[name] for name in ("weight", "bias")})
        torch.manual_seed(job.seed)  # whether the probe's features were there already may not show
    return head


def arrays(tensors: dict[str, Tensor]) -> dict[str, NDArray[Any]]:
    """What safetensors keeps: on the CPU, and whole numbers or float32; not what only an objective needed."""
    return {
        name: np.array((t.float() if t.is_floating_point() else t).detach().cpu().numpy())
        for name, t in tensors.items()
        if not name.startswith("objective.")
    }
