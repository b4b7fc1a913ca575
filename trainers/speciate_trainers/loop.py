"""The one way a Lightning Trainer is made here: quiet, local, and open to the config's `trainer` settings."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from speciate import Job, SpeciateError, UsageError, world
from speciate.contracts import Loader
from speciate.task import Examples
from speciate_trainers.checkpoint import Durable, newest
from speciate_trainers.data import Collate, RowData, Seen
from speciate_trainers.learner import Learner
from speciate_trainers.lightning import ModelParallelStrategy, pl
from speciate_trainers.options import TrainOptions
from speciate_trainers.watch import Keep, Watch

__all__ = ["train"]

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def train(job: Job, learner: Learner, inputs: Callable[..., Any], sizes: Callable[..., Any] | None = None) -> None:
    """Take a Learner through the training rows of a job, or on from its last checkpoint; it ends with its best weights.

    `inputs` turns samples into what the network takes; `sizes` says how large they are, where places are learnt.
    """
    options, folder = learner.options, job.folder / "checkpoints"
    weights = _weights(job, options)
    collate = Collate(job.task, inputs, weights if options.balance == "loss" else None, sizes)
    augments = options.augment and (job.augment is not None or sizes is not None)
    seen = Seen(job.task, job.augment) if augments else None
    balance = [weights[str(row["label"])] for row in job.train.rows] if options.balance == "rows" and weights else None
    more = {**_together(job, options), **({"balance": balance} if balance else {})}
    make = partial(_rows, job.train, options, job.seed, collate, augment=seen, **more)
    dev = partial(_rows, job.dev, options, job.seed, collate, shuffle=False) if len(job.dev) else None
    last = newest(folder)
    state = _load(last, job.identity) if last else None
    with _quiet():
        trainer, watch = _made(job, learner, make, dev, folder)
        if state and state["callbacks"]["Keep"]["finished"]:
            learner.load_state_dict(state["state_dict"], strict=False)
            watch.load_state_dict(state["callbacks"]["Watch"])
        else:
            with job.progress.track("train", learner.steps) as watch.tick:
                _run(trainer, learner, RowData(make), last)
    if watch.best:
        learner.put(watch.best)
    elif learner.average:
        learner.put(learner.average)
    learner.eval()


def _made(job: Job, learner: Learner, make: Callable[[], Loader], dev: Any, folder: Path) -> tuple[pl.Trainer, Watch]:
    options = learner.options
    settings = {"max_epochs": options.epochs, "gradient_clip_val": options.clip or None, **_world(), **job.trainer}
    watch = Watch(job, None)
    keep = Keep(job, folder, options.save_every)
    trainer = _trainer(job.folder, {**settings, "callbacks": [watch, keep], "plugins": [Durable()]})
    watch.dev = dev and partial(_ranked, dev, trainer)
    each = -(-len(_ranked(make, trainer)) // max(1, trainer.accumulate_grad_batches))
    learner.steps = max(1, each * (trainer.max_epochs or options.epochs))
    limits = [trainer.max_steps] if trainer.max_steps > 0 else []
    limits += [int(watch.budget.amount)] if watch.budget.unit == "steps" else []
    learner.steps = min([learner.steps, *limits])
    if job.journal:
        job.journal.note(steps=learner.steps, **_promise(watch))
    return trainer, watch


def _promise(watch: Watch) -> dict[str, str]:
    """What a resumed run will be."""
    if watch.budget.timed:
        return {"guarantee": "cursor-exact", "because": "a budget of time ends at another step each time"}
    if torch.cuda.is_available():
        return {"guarantee": "cursor-exact", "because": "kernels of a GPU add in an order of their own"}
    return {"guarantee": "bit-exact", "because": f"{torch.get_num_threads()} threads on this kind of processor"}


def _run(trainer: pl.Trainer, learner: Learner, data: RowData, last: Path | None) -> None:
    learner.train()
    try:
        trainer.fit(learner, datamodule=data, ckpt_path=last, weights_only=True)
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate" not in str(error):
            raise
        size = learner.options.batch_size
        do = f"type method.batch_size={max(1, size // 2)} trainer.accumulate_grad_batches=2, or a smaller base.size"
        raise SpeciateError(f"out of memory with batches of {size}", str(error).splitlines()[0], do) from error


def _load(path: Path, identity: str) -> dict[str, Any]:
    state: dict[str, Any] = Durable().load_checkpoint(path)
    if state["callbacks"]["Keep"]["identity"] != identity:
        exists = "its config, data or base are not those of this run"
        raise SpeciateError(
            f"{path.name} is a checkpoint of another run", exists, "start a new run, or take the file away"
        )
    return state


def _weights(job: Job, options: TrainOptions) -> dict[str, float]:
    """How much a row of each label counts: all labels together the same."""
    if options.balance not in ("none", "loss", "rows"):
        raise UsageError(f"method.balance={options.balance}", "there is: none, loss, rows", "type method.balance=loss")
    if job.task.needs == "places" and options.balance != "none":
        exists = "it weighs rows by their label, and a row here has one for each place"
        raise UsageError(f"method.balance={options.balance} does not go with {job.task.name}", exists, "leave it out")
    counts = Counter(str(row["label"]) for row in job.train.rows)
    counts.update({str(row["label"]): 0 for row in job.dev.rows})
    return {label: len(job.train) / (len(counts) * max(1, n)) for label, n in counts.items()}


def _together(job: Job, options: TrainOptions) -> dict[str, Any]:
    """Rows of one label side by side, for a task that compares the rows of a batch."""
    size = job.task.together()
    if not size:
        return {}
    if options.batch_size < 2 * size:
        exists = f"task.together={size}: a batch should hold rows of two labels, {size} of each"
        do = f"type method.batch_size={2 * size}, or task.together=2"
        raise UsageError(f"method.batch_size={options.batch_size} is too few for {job.task.name}", exists, do)
    return {"together": ([str(row["label"]) for row in job.train.rows], size)}


def _rows(examples: Examples, options: TrainOptions, seed: int, collate: Collate, **more: Any) -> Loader:
    kept = {"cache": True} if options.cache else {}
    return examples.loader(batch_size=options.batch_size, seed=seed, collate=collate, **kept, **more)


def _ranked(make: Callable[[], Loader], trainer: pl.Trainer) -> Loader:
    loader = make()
    loader.set_world(trainer.world_size, trainer.global_rank)
    return loader


def _world() -> dict[str, Any]:
    """Where torchrun or SLURM started several processes, all of them take part."""
    if (size := world.size()) == 1:
        return {}
    here = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return {"devices": here, "num_nodes": size // here, "strategy": "ddp"}


@contextmanager
def _quiet() -> Iterator[None]:
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*in eval mode at the start.*")  # norms that are frozen
        warnings.filterwarnings("ignore", message=".*smaller than the logging interval.*")
        warnings.filterwarnings("ignore", module="torch.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", module="lightning.*", category=FutureWarning)
        yield


def _trainer(folder: Path, settings: Mapping[str, Any]) -> pl.Trainer:
    if settings.get("strategy") == "fsdp2":
        settings = {**settings, "strategy": ModelParallelStrategy(save_distributed_checkpoint=False)}
    try:
        return pl.Trainer(default_root_dir=folder, **{**QUIET, **settings})
    except (TypeError, ValueError, pl.utilities.exceptions.MisconfigurationException) as error:
        raise UsageError(
            "Lightning refuses these trainer settings", str(error), "see `trainer.*` in the config"
        ) from error
