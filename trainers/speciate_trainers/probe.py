"""The probe: a small head on frozen features, solved by L-BFGS on all rows at once, one Lightning fit for each c."""

from __future__ import annotations

from typing import Any, cast

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from speciate import Job, SpeciateError, UsageError
from speciate.task import Task
from speciate_trainers.loop import fit
from speciate_trainers.options import ProbeOptions
from speciate_trainers.predictor import ProbePredictor
from speciate_trainers.tasks.heads import NARROWEST
from speciate_trainers.tasks.regress import spreads

Rows = tuple[Tensor, Tensor]  # features, targets


class ProbeTrainer:
    """Chooses c on the dev split, then learns the head from everything that is not test."""

    def __init__(self, options: ProbeOptions) -> None:
        if not options.c or not all(0 < c < float("inf") for c in options.c):
            exists = "c is the inverse strength of L2: one or more numbers above zero"
            raise UsageError(f"method.c={options.c}", exists, "type method.c=[0.1,1,10]")
        if options.max_iter < 1:
            raise UsageError(f"method.max_iter={options.max_iter}", "it is at least 1", "type method.max_iter=300")
        self.options = options

    def fit(self, job: Job) -> dict[str, NDArray[Any]]:
        torch.manual_seed(job.seed)
        _refuse_nan(job)
        regress = job.task.name == "regress"
        shift, scale = (job.train.targets.mean(axis=0), spreads(job.train.targets)) if regress else (0.0, 1.0)
        train, dev = (
            (torch.from_numpy(part.features), torch.from_numpy((part.targets - shift) / scale))
            for part in (job.train, job.dev)
        )
        head = self._choose(job, train, dev)
        known: dict[str, Any] = {"shift": shift, "scale": scale}
        if regress:
            known["spread"] = scale * head.spread(*(dev if len(dev[0]) > 1 else train))
        self._report(job, _tensors(head, known), head.c)
        if self.options.refit and len(dev[0]):
            both = (torch.cat([train[0], dev[0]]), torch.cat([train[1], dev[1]]))
            self._solve(job, head, both)
        return _tensors(head, known)

    def _report(self, job: Job, tensors: dict[str, NDArray[Any]], c: float) -> None:
        """The dev score of the strength that was chosen, of the head that has not seen the dev rows."""
        if job.journal and job.judge and len(job.dev):
            answers = ProbePredictor(tensors, job.task, cast(Any, job.encoder)).predict(job.dev)
            job.journal.write(1 + sorted(self.options.c).index(c), dev=job.judge(answers, job.dev.targets))
            job.journal.note(chosen={"c": c})

    def _choose(self, job: Job, train: Rows, dev: Rows) -> Head:
        """Walk from strong to weak regularisation, each fit starting where the last ended; stop once dev gets worse."""
        best, lowest, worse = None, float("inf"), 0
        head = Head(job.task, train[0].shape[1], self.options)
        strengths = sorted(self.options.c)
        with job.progress.track("train", len(strengths)) as tick:
            for c in strengths:
                head.c = c
                self._solve(job, head, train)
                loss = head.judge(*(dev if len(dev[0]) else train))
                tick(1)
                if job.journal and len(dev[0]):
                    job.journal.write(1 + strengths.index(c), dev_loss=loss)
                if loss < lowest:
                    best, lowest, worse = head.copy(), loss, 0
                else:
                    worse += 1
                if worse == 2:
                    break
        if best is None:
            exists = f"c={self.options.c} on {len(train[0])} rows"
            raise SpeciateError("the loss is not a number", exists, "try a smaller c: method.c=[0.1,1]")
        return best

    def _solve(self, job: Job, head: Head, rows: Rows) -> None:
        head.rows = len(rows[0])
        fit(head, DataLoader(OneBatch(rows), batch_size=None), job.folder, {"max_epochs": 1, **job.trainer})


def _tensors(head: Head, known: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """The head and what is known of the targets, as they are kept."""
    tensors = {name: parameter.detach().numpy() for name, parameter in head.layer.named_parameters()}
    return {**tensors, **{name: np.atleast_1d(np.asarray(array, np.float64)) for name, array in known.items()}}


def _refuse_nan(job: Job) -> None:
    """L-BFGS would stop far away from the cause."""
    bad = [
        str(row.get("source", i))
        for part in (job.train, job.dev)
        for i, row in enumerate(part.rows)
        if not (np.isfinite(part.features[i]).all() and np.isfinite(part.targets[i]).all())
    ]
    if bad:
        exists = f"the features or targets of {len(bad)} rows hold NaN or infinity, such as {bad[0]}"
        raise SpeciateError("cannot learn from what is not a number", exists, "mend or remove these rows")


class OneBatch(Dataset[Rows]):
    """All rows as one batch."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return 1

    def __getitem__(self, _: int) -> Rows:
        return self.rows


class Head(pl.LightningModule):  # type: ignore[misc]  # Lightning is imported untyped
    """One linear layer; the loss is scikit-learn's, C * sum(loss) + |w|^2 / 2, divided by C * n."""

    def __init__(self, task: Task, width: int, options: ProbeOptions) -> None:
        super().__init__()
        self.layer = nn.Linear(width, len(task.labels) or 1)
        for parameter in self.layer.parameters():
            nn.init.zeros_(parameter)  # convex: the start does not matter, and this one repeats
        self.task, self.options, self.width, self.c, self.rows = task, options, width, 1.0, 1

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            self.parameters(),
            max_iter=self.options.max_iter,
            history_size=10,
            tolerance_grad=1e-5,
            line_search_fn="strong_wolfe",
        )

    def training_step(self, batch: Rows, _: int) -> Tensor:
        return self.loss(*batch) + self.layer.weight.square().sum() / (2 * self.c * self.rows)

    def loss(self, features: Tensor, targets: Tensor) -> Tensor:
        answers = self.layer(features)
        if self.task.name == "regress":
            wanted = targets.to(answers.dtype).reshape(answers.shape)
            error: Tensor = nn.functional.mse_loss(answers, wanted) * answers.shape[1] / 2
            return error
        if self.task.name == "multilabel":
            return self._each(answers, targets.to(answers.dtype))
        weight = None
        if self.options.balanced:
            counts = torch.bincount(targets.long(), minlength=len(self.task.labels)).clamp(min=1)
            weight = (len(targets) / (len(counts) * counts)).to(answers.dtype)
        return nn.functional.cross_entropy(answers, targets.long(), weight=weight)

    def _each(self, answers: Tensor, targets: Tensor) -> Tensor:
        """Each label by itself, as one of two; balanced, either counts half."""
        weight = None
        if self.options.balanced:
            yes = targets.sum(dim=0)
            n, no = len(targets), len(targets) - yes
            weight = targets * n / (2 * yes.clamp(min=1)) + (1 - targets) * n / (2 * no.clamp(min=1))
        loss = nn.functional.binary_cross_entropy_with_logits(answers, targets, weight=weight, reduction="none")
        total: Tensor = loss.sum(dim=1).mean()
        return total

    @torch.no_grad()
    def spread(self, features: Tensor, targets: Tensor) -> NDArray[np.float64]:
        """How far off it is on rows, the root of the mean square."""
        apart = self.layer(features).double() - targets.double().reshape(len(targets), -1)
        found: NDArray[np.float64] = apart.square().mean(dim=0).sqrt().clamp(min=NARROWEST).numpy()
        return found

    @torch.no_grad()
    def judge(self, features: Tensor, targets: Tensor) -> float:
        return float(self.loss(features, targets))

    def copy(self) -> Head:
        twin = Head(self.task, self.width, self.options)
        twin.load_state_dict(self.state_dict())
        twin.c = self.c
        return twin
