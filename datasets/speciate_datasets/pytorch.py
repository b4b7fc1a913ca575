"""A RowLoader behind torch's own DataLoader, for training code that wants one, with the same place in the epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from speciate import UsageError

if TYPE_CHECKING:
    from speciate_datasets.loader import RowLoader

__all__ = ["RowDataLoader", "RowDataset"]


class RowDataset(IterableDataset[Any]):
    """Whole batches; among worker processes each makes its share, in the order that DataLoader asks them in."""

    def __init__(self, loader: RowLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:
        worker = get_worker_info()
        return self.loader.share(worker.id, worker.num_workers) if worker else self.loader.share(0, 1)


class RowDataLoader(DataLoader[Any]):
    """Counts the batches that were taken, so its place is exact however many are on their way."""

    def __init__(self, loader: RowLoader, **options: Any) -> None:
        if options.get("persistent_workers"):
            raise UsageError("workers cannot persist", "each epoch tells its own where it begins", "leave it out")
        started = {"multiprocessing_context": "forkserver"} if options.get("num_workers") else {}  # Lance is not forked
        super().__init__(RowDataset(loader), batch_size=None, **started | options)
        self.loader = loader

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        self.loader.again()
        for batch in super().__iter__():
            self.loader.given()
            yield batch

    def __len__(self) -> int:
        return len(self.loader)

    def set_epoch(self, epoch: int) -> None:
        self.loader.set_epoch(epoch)

    def set_world(self, world_size: int, rank: int) -> None:
        self.loader.set_world(world_size, rank)

    def state_dict(self) -> dict[str, Any]:
        return self.loader.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.loader.load_state_dict(state)
