"""The one LightningModule: a base's network, a task's head, and the loss that the method says."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from speciate import SpeciateError
from speciate.task import Task
from speciate_trainers.data import Batch
from speciate_trainers.lightning import ModelParallelStrategy, pl
from speciate_trainers.options import TrainOptions
from speciate_trainers.sharded import blocks, like, whole

__all__ = ["Learner", "Objective"]

Objective = Callable[["Learner", Tensor, Batch], Tensor]
"""(learner, scores, batch) -> the loss of each row: all that differs between methods. One that is a module learns, too,
and is gone when training ends."""

NORMS = (nn.modules.batchnorm._BatchNorm,)


class Learner(pl.LightningModule):  # type: ignore[misc]  # Lightning is imported untyped
    """`groups` are optimiser groups; whatever is in none of them is frozen, and neither trained nor kept."""

    def __init__(
        self,
        network: nn.Module,
        head: nn.Module,
        task: Task,
        options: TrainOptions,
        groups: list[dict[str, Any]],
        objective: Objective | None = None,
        freeze_norm: bool = True,
    ) -> None:
        super().__init__()
        self.network, self.head = network, head
        own = list(objective.parameters()) if isinstance(objective, nn.Module) else []
        groups = [*groups, {"params": own, "lr": options.head_lr or options.lr}] if own else groups
        self.task, self.options, self.objective = task, options, objective
        self.freeze_norm, self.strict_loading = freeze_norm, False
        self.steps = 1  # all that will be taken
        self.spent = 0.0  # the share of a budget that is used up, where that ends earlier
        names = {id(p): name for name, p in self.named_parameters()}  # sharding puts others in the place of parameters
        self.groups = [{**group, "params": [names[id(p)] for p in group["params"]]} for group in groups]
        learnt = {name for group in self.groups for name in group["params"]}
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(name in learnt)
        self.average: dict[str, Tensor] = {}

    # --- learning -------------------------------------------------------------------------------------------------

    def scores(self, batch: Batch) -> Tensor:
        self.vectors: Tensor = self.network(**batch.inputs)  # an objective may look at them
        found: Tensor = self.head(self.vectors)
        return found

    def training_step(self, batch: Batch, step: int) -> Tensor:
        scores = self.scores(batch)
        if self.objective is None:
            losses = self.task.loss(scores, batch.targets, self.options.smoothing)
        else:
            losses = self.objective(self, scores, batch)
        loss = losses.mean() if batch.weights is None else (losses * batch.weights).mean()
        if not math.isfinite(value := float(loss.detach())):
            bad = [id for id, one in zip(batch.ids, losses.tolist(), strict=False) if not math.isfinite(one)]
            exists = f"rows {', '.join((bad or batch.ids)[:3])} at step {self.global_step + 1}: the loss is {value}"
            do = "look at these rows, or lower method.lr"
            raise SpeciateError("training stopped: the loss is not a number", exists, do)
        self.last_loss = value
        return loss

    def configure_optimizers(self) -> Any:
        there = dict(self.named_parameters())
        groups = [{**group, "params": [there[name] for name in group["params"]]} for group in self.groups]
        optimiser = torch.optim.AdamW(groups, lr=self.options.lr, weight_decay=self.options.weight_decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, self._rate)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _rate(self, step: int) -> float:
        """Up in a line, down along a cosine."""
        warm = max(1, round(self.options.warmup * self.steps))
        if step < warm:
            return (step + 1) / warm
        share = max((step - warm) / max(1, self.steps - warm), self.spent)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        if mode and self.freeze_norm:
            for module in self.network.modules():
                if isinstance(module, NORMS):
                    module.eval()
        return self

    def configure_model(self) -> None:
        """Under fsdp2 each rank has a part of every block's weights."""
        if isinstance(self.trainer.strategy, ModelParallelStrategy) and self.device_mesh is not None:
            mesh = self.device_mesh["data_parallel"]
            for part in [*blocks(self.network), self.network, self.head]:
                fully_shard(part, mesh=mesh)

    # --- what is kept ---------------------------------------------------------------------------------------------

    def learnt(self) -> dict[str, Tensor]:
        """What training changes, whole on every rank."""
        return {name: whole(tensor) for name, tensor in self._live().items()}

    def _live(self) -> dict[str, Tensor]:
        """Parameters that learn, and the running statistics of norms that are not frozen."""
        kept = {name: p.detach() for name, p in self.named_parameters() if p.requires_grad}
        kept |= {name: b for name, b in self.named_buffers() if name.startswith("head.")}
        if not self.freeze_norm:
            for name, module in self.named_modules():
                if isinstance(module, NORMS):
                    kept |= {f"{name}.{n}": b for n, b in module.named_buffers()}
        return kept

    def follow(self) -> None:
        """Let the moving average follow the weights, after each step."""
        if not self.options.ema:
            return
        decay = min(self.options.ema, (1 + self.global_step) / (10 + self.global_step))
        now = self.learnt()
        if not self.average:
            self.average = {name: tensor.clone() for name, tensor in now.items()}
        for name, tensor in self.average.items():
            if tensor.is_floating_point():
                tensor.lerp_(now[name].to(tensor.dtype), 1 - decay)
            else:
                tensor.copy_(now[name])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """With the moving average of the weights in place of them."""
        if not self.average:
            yield
            return
        now = {name: tensor.clone() for name, tensor in self.learnt().items()}
        self.put(self.average)
        try:
            yield
        finally:
            self.put(now)

    @torch.no_grad()
    def put(self, tensors: dict[str, Tensor]) -> None:
        """Weights that `learnt` gave."""
        there = self._live()
        for name, tensor in tensors.items():
            there[name].copy_(like(tensor, there[name]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Frozen weights come from the base again."""
        learnt = self._live()
        checkpoint["state_dict"] = {n: t for n, t in checkpoint["state_dict"].items() if n in learnt}
        checkpoint["average"] = self.average

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.average = checkpoint["average"]
