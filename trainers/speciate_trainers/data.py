"""Rows on their way into the loop: batches of tensors, this rank's share, the place in the epoch in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from speciate import Row, Sample
from speciate.contracts import Loader
from speciate.task import Task
from speciate_trainers.lightning import pl

__all__ = ["Batch", "Collate", "RowData", "Seen"]

Pair = tuple[Sample, Row]


@dataclass
class Batch:
    """What one step learns from."""

    ids: list[str]
    inputs: dict[str, Tensor]  # what the network takes
    targets: Tensor
    truth: NDArray[Any]  # the targets as a scorer takes them
    weights: Tensor | None = None  # how much each row counts
    sizes: list[tuple[int, ...]] = field(default_factory=list)  # of the samples, where places are learnt
    tokens: int = 0  # what a budget of tokens counts: rows, where there are no tokens

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> Batch:
        """The same batch where the network is; here already, it costs nothing."""
        if device.type == "cpu":
            return self
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in self.inputs.items()}
        weights = None if self.weights is None else self.weights.to(device)
        return replace(self, inputs=moved, targets=self.targets.to(device, non_blocking=True), weights=weights)


@dataclass
class Collate:
    """Pairs of a sample and its row as a Batch."""

    task: Task
    inputs: Callable[[Sequence[Sample]], Mapping[str, Tensor]]
    weights: Mapping[str, float] | None = None  # by label
    sizes: Callable[[Sequence[Sample]], list[tuple[int, ...]]] | None = None

    def __call__(self, pairs: Sequence[Pair]) -> Batch:
        rows = [row for _, row in pairs]
        truth = self.task.targets(rows)
        sizes = self.sizes([sample for sample, _ in pairs]) if self.sizes else []
        self.task.check(truth, sizes, rows)
        weights = None if self.weights is None else torch.tensor([self.weights[str(row["label"])] for row in rows])
        shown = [self.task.shown(sample, target) for (sample, _), target in zip(pairs, truth, strict=True)]
        inputs = dict(self.inputs(shown))
        return Batch(
            ids=[str(row["id"]) for row in rows],
            inputs=inputs,
            targets=self.task.tensor(truth),
            truth=truth,
            weights=weights,
            sizes=sizes,
            tokens=_tokens(inputs) or len(pairs),
        )


def _tokens(inputs: Mapping[str, Tensor]) -> int:
    """Of text: without what is padded."""
    counted = inputs.get("attention_mask")
    if counted is not None:
        return int(counted.sum())
    return inputs["input_ids"].numel() if "input_ids" in inputs else 0


@dataclass
class Seen:
    """A format's augmentation for pairs: the sample is seen another way, as the task allows."""

    task: Task
    augment: Callable[..., Sample] | None

    def __call__(self, pair: Pair, rng: Any) -> Pair:
        return self.task.seen(*pair, self.augment, rng)


class RowData(pl.LightningDataModule):  # type: ignore[misc]
    """Training rows. Lightning keeps the loader's place itself, in every checkpoint; it must not put a
    sampler of its own in their way: `Trainer(use_distributed_sampler=False)` says so, and so does having no sampler."""

    def __init__(self, train: Callable[[], Loader]) -> None:
        super().__init__()
        self._train = train

    def transfer_batch_to_device(self, batch: Any, device: torch.device, index: int) -> Any:
        return batch.to(device) if isinstance(batch, Batch) else super().transfer_batch_to_device(batch, device, index)

    def train_dataloader(self) -> Loader:
        loader, trainer = self._train(), cast(Any, self.trainer)
        if trainer is not None:
            loader.set_world(trainer.world_size, trainer.global_rank)
        return loader
