"""What looks after a training: the dev score and the best weights, the budget, checkpoints, and being told to stop."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from speciate import Job
from speciate.budget import Budget
from speciate.errors import Stopped
from speciate_trainers.learner import Learner
from speciate_trainers.lightning import pl

__all__ = ["Keep", "Watch", "judged"]

SAVE_SECONDS = 60.0
NOTED = 20  # loss is written about so often in an epoch


class Watch(pl.Callback):  # type: ignore[misc]  # Lightning is imported untyped
    """Judges the model on the dev rows, keeps the best weights, and ends training when more of it would be no use."""

    def __init__(self, job: Job, dev: Callable[[], Iterable[Any]] | None) -> None:
        self.job, self.dev = job, dev
        self.tick: Callable[..., None] = _nobody
        self.budget = Budget(job.budget)
        self.best: dict[str, Tensor] = {}
        self.state = {"score": float("nan"), "step": -1, "bad": 0, "judged": -1, "tokens": 0, "seconds": 0.0}
        self._since, self._losses, self._every = time.monotonic(), [0.0, 0], 1

    def on_train_start(self, trainer: pl.Trainer, learner: Learner) -> None:
        self._since = time.monotonic() - self.state["seconds"]
        steps = max(1, len(trainer.train_dataloader))
        self._every = max(1, steps // NOTED)
        self.tick(trainer.global_step)
        if trainer.global_step == 0:  # where it starts is a candidate, too: training can only make it better
            self.judge(trainer, learner)

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Learner, outputs: Any, batch: Any, index: int) -> None:
        step, state, options = trainer.global_step, self.state, learner.options
        learner.follow()
        self._losses[0] += learner.last_loss
        self._losses[1] += 1
        state["tokens"] += getattr(batch, "tokens", len(batch))
        state["seconds"] = time.monotonic() - self._since
        spent = self.budget.share(state["seconds"], step, state["tokens"])
        learner.spent = trainer.strategy.broadcast(spent) if trainer.world_size > 1 else spent  # one clock for all
        if step % self._every == 0 or self._losses[1] >= self._every:
            self._note(trainer, learner)
        if step % options.eval_every == 0 if options.eval_every else trainer.is_last_batch:
            self.judge(trainer, learner)  # here, so that no checkpoint lies between an epoch's end and its score
        if learner.spent >= 1.0:
            self._stop(trainer, f"its budget of {self.job.budget} was used up")
        self.tick(1, f"loss {learner.last_loss:.3g}" + (f", dev {state['score']:.4g}" if self.best else ""))

    def on_train_end(self, trainer: pl.Trainer, learner: Learner) -> None:
        self.judge(trainer, learner)

    def judge(self, trainer: pl.Trainer, learner: Learner) -> None:
        """The dev score of the weights as they are now; the best ones are kept."""
        state, step = self.state, trainer.global_step
        if self.dev is None or self.job.judge is None or state["judged"] == step:
            return
        state["judged"] = step
        with learner.averaged():
            score = judged(trainer, learner, self.dev(), self.job.judge)
            sign = 1 if self.job.higher_is_better else -1
            if not self.best or sign * score > sign * state["score"]:
                state |= {"score": score, "step": step, "bad": 0}
                self.best = {name: tensor.clone() for name, tensor in learner.learnt().items()}
            else:
                state["bad"] += 1
        if self.job.journal:
            self.job.journal.write(step, dev=score)
        if learner.options.patience and state["bad"] >= learner.options.patience:
            self._stop(trainer, f"{state['bad']} dev scores in a row were no better")

    def _stop(self, trainer: pl.Trainer, why: str) -> None:
        trainer.should_stop = True
        if self.job.journal:
            self.job.journal.note(stopped=f"at step {trainer.global_step}: {why}")

    def _note(self, trainer: pl.Trainer, learner: Learner) -> None:
        if self.job.journal and trainer.is_global_zero:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self.job.journal.write(trainer.global_step, loss=self._losses[0] / max(1, self._losses[1]), lr=rate)
        self._losses = [0.0, 0]

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "losses": self._losses, **self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self._losses = state["best"], list(state["losses"])
        self.state = {name: state[name] for name in self.state}


class Keep(pl.Callback):  # type: ignore[misc]
    """Checkpoints with all that chance decides, and an orderly end when a signal asks for one."""

    def __init__(self, job: Job, folder: Path, every: int) -> None:
        self.job, self.folder, self.every = job, folder, every
        self.finished = False
        self._asked, self._last, self._random = 0, time.monotonic(), None
        self._before: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, learner: Learner) -> None:
        if threading.current_thread() is threading.main_thread():  # nowhere else may a handler be set
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)

    def teardown(self, trainer: pl.Trainer, learner: Learner, stage: str) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _ask(self, number: int, frame: Any) -> None:
        """The first signal is a wish, heard when the step ends; the second one of Ctrl-C is an order."""
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = number

    def on_train_batch_start(self, trainer: pl.Trainer, learner: Learner, batch: Any, index: int) -> None:
        if self._random is not None:  # after everything that may draw between loading a checkpoint and the next step
            _set_random(self._random)
            self._random = None

    def on_train_batch_end(self, trainer: pl.Trainer, learner: Learner, outputs: Any, batch: Any, index: int) -> None:
        asked = self._asked
        if trainer.world_size > 1:
            asked = max(int(trainer.strategy.reduce(torch.tensor(float(asked)), reduce_op="max")), 0)
        due = trainer.global_step % self.every == 0 if self.every else time.monotonic() - self._last > SAVE_SECONDS
        if trainer.world_size > 1 and not self.every:
            due = bool(trainer.strategy.broadcast(due))
        if asked or due:
            self.save(trainer)
        if asked:
            raise Stopped(asked, f"at step {trainer.global_step}")

    def save(self, trainer: pl.Trainer) -> None:
        trainer.save_checkpoint(self.folder / f"step-{trainer.global_step:08d}.ckpt")
        self._last = time.monotonic()

    def on_train_end(self, trainer: pl.Trainer, learner: Learner) -> None:
        self.finished = True
        self.save(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"finished": self.finished, "random": _get_random(), "identity": self.job.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._random = state["random"]


def _nobody(done: int, note: str = "") -> None:
    """Looks at the progress, until somebody does."""


def judged(trainer: pl.Trainer, learner: Learner, batches: Iterable[Any], judge: Callable[..., float]) -> float:
    """The score of answers to all dev rows, those of every rank together."""
    learner.eval()
    answers, targets = [], []
    with torch.no_grad(), trainer.precision_plugin.forward_context():  # fsdp2 cannot gather weights in inference mode
        for batch in batches:
            batch = trainer.strategy.batch_to_device(batch)
            answers.append(learner.task.answered(learner.scores(batch), batch.sizes))
            targets.append(batch.truth)
    learner.train()
    found = np.concatenate(answers), np.concatenate(targets)
    if trainer.world_size > 1:
        parts: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(parts, found)
        found = np.concatenate([a for a, _ in parts]), np.concatenate([t for _, t in parts])
    return judge(*found)


def _get_random() -> dict[str, Any]:
    version, state, gauss = random.getstate()
    kind, keys, *rest = np.random.get_state()
    return {
        "python": [version, list(state), gauss],
        "numpy": [kind, torch.from_numpy(np.asarray(keys).copy()), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def _set_random(state: dict[str, Any]) -> None:
    version, inner, gauss = state["python"]
    random.setstate((version, tuple(inner), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
