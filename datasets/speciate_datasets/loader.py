"""Loading for training: every row of a split once an epoch, in an order that the seed and the epoch decide, shared
among processes, and taken up again exactly where it stopped, by as many processes as there are then.

The order is one list of all rows that every process knows. A step takes the next `world_size * batch_size` of it, and
rank r the positions that leave r when divided by the world size. So a place in the epoch is one number, the rows
consumed by all, and means the same whatever the world size.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speciate import SpeciateError, UsageError
from speciate_datasets.ahead import Ahead, pinned
from speciate_datasets.decoded import how
from speciate_datasets.order import drawn
from speciate_datasets.recipe import Positions, Recipe, fingerprint, make, random_states, start, takes_rng
from speciate_datasets.rows import Rows, Where

BLOCK_ROWS = 8192  # of small columns are taken at once, then cut into batches
MEMORY = 1 << 30
CACHE_BYTES = 10 << 30
AHEAD = 2


class Guarantee(NamedTuple):
    """What a resumed epoch promises. Both give exactly the rows that remain; `bit-exact` the same bytes, too."""

    level: str
    why: str


class RowLoader:
    """Batches of one version of a dataset, for one of `world_size` processes.

    >>> loader = RowLoader(ws.dataset("notes"), "train", batch_size=32, seed=0, decode=reader.decode)

    A batch is what `collate` makes of the decoded rows (a list of them without it), or without `decode` a dict of
    columns. A `decode` that has a parameter `rng` is given a generator made of the seed, the epoch and the row, and
    so is `augment(sample, rng)`, which comes after it. With `cache` what `decode` gives is kept on the disk, up to
    `cache_bytes`, in the folder named or in the workspace (True). `balance` has a weight for each of `ids`: how often
    it is drawn beside the others. `together` has a key for each of `ids` and a number: so many rows of one key stand
    side by side, others each epoch.
    A finished epoch goes on to the next; `for epoch in range(10): for batch in loader: ...` is all there is to it.
    """

    def __init__(
        self,
        dataset: Any,
        split: str = "train",
        batch_size: int = 32,
        seed: int = 0,
        *,
        decode: Callable[..., Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        columns: Sequence[str] = (),
        ids: Sequence[str] | None = None,
        shuffle: bool = True,
        world_size: int = 1,
        rank: int = 0,
        drop_last: bool = False,
        prefetch: int | None = None,
        workers: int = 0,
        verify: Sequence[str] = (),
        pin_memory: bool | None = None,
        memory: int = MEMORY,
        fast: bool = True,
        augment: Callable[..., Any] | None = None,
        cache: bool | str | Path = False,
        cache_bytes: int = CACHE_BYTES,
        balance: Sequence[float] | None = None,
        together: tuple[Sequence[str], int] | None = None,
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size:
            raise UsageError(f"batch size {batch_size}, rank {rank} of {world_size}", "", "a batch has at least 1 row")
        needed = (*verify, "id", "source", "row") if verify else ("id",) if cache else ()
        wanted = [*columns, *(needed if columns else ())]
        self.where = Where(
            root=dataset.store.root,
            table=f"dataset.{dataset.name}",
            version=dataset.version,
            split=split,
            columns=tuple(dict.fromkeys(wanted)),
            ids=None if ids is None else tuple(ids),
            memory=memory,
            fast=fast,
        )
        kept = _cache(cache, self.where, decode) if cache else None
        self.recipe = Recipe(decode, collate, tuple(verify), seed, augment, kept, cache_bytes)
        self.batch_size, self.shuffle, self.drop_last = batch_size, shuffle, drop_last
        self.balance = None if balance is None else dict(zip(ids or (), balance, strict=True))
        self.together = together and (dict(zip(ids or (), together[0], strict=True)), together[1])
        self.world_size, self.rank = world_size, rank
        self.prefetch, self.workers, self.pin_memory = prefetch, workers, pin_memory
        self.epoch = 0
        self._start = self._consumed = 0  # rows of this epoch, all ranks together: before and up to now
        self._steps_before = self._steps = 0
        self._rows: Rows | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing open crosses into another process."""
        return {**self.__dict__, "_rows": None}

    @property
    def rows(self) -> Rows:
        if self._rows is None:
            self._rows = Rows(self.where)
        return self._rows

    def order(self, epoch: int | None = None) -> Positions:
        """Every row once, as all ranks together take them; with `balance` as many, each as often as it weighs."""
        if not self.shuffle:
            return np.arange(len(self.rows))
        rng = np.random.default_rng([self.recipe.seed, self.epoch if epoch is None else epoch])
        return drawn(rng, len(self.rows), self.balance, self.together)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; the one that was resumed stays where it is."""
        if epoch != self.epoch:
            self._at(epoch)

    def set_world(self, world_size: int, rank: int) -> None:
        self.world_size, self.rank = world_size, rank

    def __len__(self) -> int:
        """Steps of this epoch, those before a resume included."""
        return self._steps_before + self._steps_of(len(self.rows) - self._start)

    def __iter__(self) -> Iterator[Any]:
        epoch, order = self.epoch, self.order()[self._start :]
        steps = self._steps_of(len(order))
        mine = self._mine(order, steps)
        self.again()
        with Ahead(self._batches(mine, epoch), self._depth()) as batches:
            for batch in batches:
                self.given()
                yield batch
                del batch  # its memory may be used again
        if not steps:
            self._at(epoch + 1)

    def share(self, worker: int, workers: int) -> Iterator[Any]:
        """The batches of this rank that one of its workers makes: each `workers`-th. The place stays where it is."""
        order = self.order()[self._start :]
        mine = self._mine(order, self._steps_of(len(order)))
        yield from self._here(mine[worker::workers], self.epoch)

    def given(self) -> None:
        """One more batch of those that the shares give has been taken."""
        self._consumed, self._steps = self._consumed + self.batch_size * self.world_size, self._steps + 1
        if self._steps == len(self):  # the last one: what follows is the next epoch
            self._at(self.epoch + 1)

    def again(self) -> None:
        """Go back to where this epoch began, or was taken up."""
        self._at(self.epoch, self._start, self._steps_before)

    def torch(self, **options: Any) -> Any:
        """The same batches through a DataLoader of torch's, with its `num_workers`, `pin_memory` and all else."""
        from speciate_datasets.pytorch import RowDataLoader

        return RowDataLoader(self, **options)

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch after the batch that was given last; the same on every rank."""
        return {
            "seed": self.recipe.seed,
            "epoch": self.epoch,
            "consumed": self._consumed,
            "steps": self._steps,
            "rows": len(self.rows),
            "order": self._order_hash(self.epoch),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; refuses the place in another order."""
        known = (self.recipe.seed, len(self.rows), self._order_hash(int(state["epoch"])))
        if (state["seed"], state["rows"], state["order"]) != known:
            asked = "cannot resume: the rows or their order are not those of the checkpoint"
            exists = f"seed {state['seed']} and {state['rows']} rows then, seed {known[0]} and {known[1]} rows now"
            raise SpeciateError(asked, exists, "give the dataset version, split and seed of the checkpoint")
        self._at(int(state["epoch"]), int(state["consumed"]), int(state["steps"]))

    def resume_guarantee(self) -> Guarantee:
        """What a resume promises, found out by decoding some rows twice."""
        decode = self.recipe.decode
        exact = "each remaining row once, at any world size"
        if decode is None:
            return Guarantee("bit-exact", f"{exact}; the rows are given as they are stored")
        states = random_states()
        first, second = self._decoded(), self._decoded()
        if first != second:
            return Guarantee("cursor-exact", f"{exact}; decode gives other values the second time")
        if states != random_states():
            return Guarantee("cursor-exact", f"{exact}; decode draws from a global random generator")
        drawn = takes_rng(decode) or self.recipe.augment is not None
        how = "its randomness is f(seed, epoch, row)" if drawn else "it gives the same values twice"
        return Guarantee("bit-exact", f"{exact}; decode was tried on {min(3, len(self.rows))} rows: {how}")

    def _decoded(self) -> list[bytes]:
        positions = np.arange(min(3, len(self.rows)))
        alone = Recipe(self.recipe.decode, None, (), self.recipe.seed, self.recipe.augment)
        samples = alone.batch(self.rows, positions, self.rows.small(positions), 0)
        return [fingerprint(sample) for sample in samples]

    def _at(self, epoch: int, consumed: int = 0, steps: int = 0) -> None:
        self.epoch = epoch
        self._start = self._consumed = consumed
        self._steps_before = self._steps = steps

    def _order_hash(self, epoch: int) -> str:
        return hashlib.blake2b(self.order(epoch).astype("<i8").tobytes(), digest_size=8).hexdigest()

    def _steps_of(self, rows: int) -> int:
        """As many for every rank: fewer rows than ranks at the end go with the step before."""
        steps, rest = divmod(rows, self.batch_size * self.world_size)
        return steps + (not self.drop_last and (rest >= self.world_size or (rest > 0 and steps == 0)))

    def _mine(self, order: Positions, steps: int) -> list[Positions]:
        size = self.batch_size
        mine = order[self.rank :: self.world_size]
        cuts = [mine[i * size : (i + 1) * size] for i in range(steps)]
        if cuts and not self.drop_last:
            cuts[-1] = mine[(steps - 1) * size :]
        return [cut for cut in cuts if len(cut)]

    def _batches(self, mine: list[Positions], epoch: int) -> Iterator[Any]:
        made = self._in_workers(mine, epoch) if self.workers else self._here(mine, epoch)
        for batch in made:
            yield pinned(batch) if self._pins() else batch

    def _here(self, mine: list[Positions], epoch: int) -> Iterator[Any]:
        """Small columns are taken for many batches at once, but for the first ones, for which somebody waits."""
        rows, kept, most = self.rows, self.recipe.kept(), max(1, BLOCK_ROWS // self.batch_size)
        cuts = list(accumulate((min(2**i, most) for i in range(len(mine))), initial=0))
        try:
            for block in (mine[a:b] for a, b in pairwise(cuts) if a < len(mine)):
                small, at = rows.small(np.concatenate(block)), 0
                for positions in block:
                    part = {name: column.slice(at, len(positions)) for name, column in small.items()}
                    at += len(positions)
                    yield self.recipe.batch(rows, positions, part, epoch, kept)
        finally:
            if kept is not None:
                kept.close()

    def _in_workers(self, mine: list[Positions], epoch: int) -> Iterator[Any]:
        """Decoded in other processes, never forked (Lance must not be), in their order."""
        context = multiprocessing.get_context("forkserver")
        pool = ProcessPoolExecutor(self.workers, context, start, (self.where, self.recipe))
        try:
            due: deque[Future[Any]] = deque()
            for positions in mine:
                due.append(pool.submit(make, positions, epoch))
                if len(due) > self.workers + self._depth():
                    yield due.popleft().result()
            while due:
                yield due.popleft().result()
        except BrokenProcessPool as error:
            do = "give more memory, or workers=0 to see the error here"
            raise SpeciateError("a loading process died", str(error), do) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _depth(self) -> int:
        """Batches made ahead, in a thread: two, or none where a batch is but a copy of memory and nothing is decoded
        (handing it from thread to thread costs more than making it)."""
        if self.prefetch is not None:
            return self.prefetch
        return 0 if self.recipe.decode is None and not self.workers and self.rows.in_memory else AHEAD

    def _pins(self) -> bool:
        if self.pin_memory is not None:
            return self.pin_memory
        torch = sys.modules.get("torch")
        return torch is not None and bool(torch.cuda.is_available())


def _cache(cache: bool | str | Path, where: Where, decode: Callable[..., Any] | None) -> Path:
    """The folder for what this decode makes of this dataset."""
    if decode is None or takes_rng(decode):
        exists = "this decode draws from rng" if decode else "there is no decode"
        raise UsageError("there is nothing to keep in a cache", exists, "put what is random into augment(sample, rng)")
    folder = where.root / "cache" / "decoded" if cache is True else Path(str(cache))
    return folder.absolute() / f"{where.table.removeprefix('dataset.')}-{how(decode, where.columns)}"
