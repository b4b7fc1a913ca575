"""A RowLoader as Lightning wants it: this rank's share, and the place in the epoch in the checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, cast

import lightning


class Loader(Protocol):
    """What trainers ask of a loader (`speciate_datasets.loader.RowLoader` is one)."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...

    def set_world(self, world_size: int, rank: int) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class RowData(lightning.LightningDataModule):  # type: ignore[misc]
    """Training and dev rows. Lightning keeps the loaders' places itself, in every checkpoint; it must not put a
    sampler of its own in their way: `Trainer(use_distributed_sampler=False)` says so, and so does having no sampler."""

    def __init__(self, train: Callable[[], Loader], dev: Callable[[], Loader] | None = None) -> None:
        super().__init__()
        self._train, self._dev = train, dev

    def train_dataloader(self) -> Loader:
        return self._ranked(self._train())

    def val_dataloader(self) -> Loader | list[Any]:
        return self._ranked(self._dev()) if self._dev else []

    def _ranked(self, loader: Loader) -> Loader:
        trainer = cast(Any, self.trainer)
        if trainer is not None:
            loader.set_world(trainer.world_size, trainer.global_rank)
        return loader
