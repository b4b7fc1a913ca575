"""The probe: a small head on frozen features, solved by L-BFGS on all rows at once, for each c.

Without Lightning and torch: to import them takes twenty times as long as to solve this.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from speciate import Job, SpeciateError, UsageError
from speciate.task import Task
from speciate_trainers.options import ProbeOptions
from speciate_trainers.predictor import ProbePredictor
from speciate_trainers.tasks.regress import NARROWEST, spreads

Floats = NDArray[np.float32]
Rows = tuple[Floats, NDArray[Any]]  # features, targets
FEW, FOLDS = 200, 5  # dev rows, or groups of them, among which chance would choose; and what is done then


class ProbeTrainer:
    """Chooses c on the dev split, where that is small on parts of all rows, then learns from all that is not test."""

    def __init__(self, options: ProbeOptions) -> None:
        if not options.c or not all(0 < c < float("inf") for c in options.c):
            exists = "c is the inverse strength of L2: one or more numbers above zero"
            raise UsageError(f"method.c={options.c}", exists, "type method.c=[0.1,1,10]")
        if options.max_iter < 1:
            raise UsageError(f"method.max_iter={options.max_iter}", "it is at least 1", "type method.max_iter=300")
        self.options = options

    def fit(self, job: Job) -> dict[str, NDArray[Any]]:
        _refuse_settings(job)
        train, dev = _rows(job)
        regress = job.task.name == "regress"
        shift, scale = (train[1].mean(axis=0), spreads(train[1])) if regress else (0.0, 1.0)
        if regress:
            train, dev = ((features, (targets - shift) / scale) for features, targets in (train, dev))
        turned = _turned(train[0], dev[0])
        if turned is not None:
            train, dev = ((features @ turned, targets) for features, targets in (train, dev))
        head = self._choose(job, train, dev)
        known: dict[str, Any] = {"shift": shift, "scale": scale}
        if regress:
            known["spread"] = scale * head.spread(*(dev if len(dev[0]) > 1 else train))
        self._report(job, _tensors(head, known, turned), head.c)
        if self.options.refit and len(dev[0]):
            head.solve(np.concatenate([train[0], dev[0]]), np.concatenate([train[1], dev[1]]))
        return _tensors(head, known, turned)

    def _folds(self, job: Job, train: Rows, dev: Rows) -> tuple[Rows, list[NDArray[np.bool_]]]:
        """Where dev rows are few: all rows, and each fifth of them to hold back in turn. Groups stay whole."""
        parts = enumerate((job.train, job.dev))
        named = [[row.get("group") or f"\0{part} {i}" for i, row in enumerate(some.rows)] for part, some in parts]
        if len(set(named[1])) >= FEW or len(self.options.c) < 2 or job.task.needs == "places":
            return train, []
        if not self.options.refit:  # then nobody learns from dev rows
            named, dev = named[:1], (dev[0][:0], dev[1][:0])
        groups, numbers = np.unique(list(chain(*named)), return_inverse=True)
        if len(groups) < 2:
            return train, []
        count = min(FOLDS, len(groups))
        folds = (np.random.default_rng(job.seed).permutation(len(groups)) % count)[numbers]
        rows = np.concatenate([train[0], dev[0]]), np.concatenate([train[1], dev[1]])
        return rows, [folds == fold for fold in range(count)]

    def _report(self, job: Job, tensors: dict[str, NDArray[Any]], c: float) -> None:
        """The dev score of the strength that was chosen, of the head that has not seen the dev rows."""
        if job.journal and job.judge and len(job.dev):
            answers = ProbePredictor(tensors, job.task, cast(Any, job.encoder)).predict(job.dev)
            job.journal.write(1 + sorted(self.options.c).index(c), dev=job.judge(answers, job.dev.targets))
            job.journal.note(chosen={"c": c})

    def _choose(self, job: Job, train: Rows, dev: Rows) -> Head:
        """Walk from strong to weak regularisation, each fit starting where the last ended; stop once it gets worse."""
        best, lowest, worse = None, float("inf"), 0
        rows, folds = self._folds(job, train, dev)
        head, *others = (Head(job.task, train[0].shape[1], self.options) for _ in (train, *folds))
        strengths = sorted(self.options.c)
        with job.progress.track("train", len(strengths)) as tick:
            for c in strengths:
                loss = head.at(c, train, dev if len(dev[0]) else train)
                said = {"dev_loss": loss} if len(dev[0]) else {}
                if folds:
                    pairs = zip(others, folds, strict=True)
                    apart = [one.at(c, _of(rows, ~held), _of(rows, held)) for one, held in pairs]
                    loss = said["cv_loss"] = float(np.average(apart, weights=[held.sum() for held in folds]))
                tick(1)
                if job.journal and said:
                    job.journal.write(1 + strengths.index(c), **said)
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


def _of(rows: Rows, which: NDArray[np.bool_]) -> Rows:
    return rows[0][which], rows[1][which]


def _turned(*parts: Floats) -> Floats | None:
    """Where rows are few, directions that hold them all: L2 leaves the rest of the weights at zero, so what is learnt
    from as many numbers as there are rows is what would be learnt from all. [width, rows]"""
    features = np.concatenate(parts)
    if len(features) > features.shape[1] // 2:
        return None
    return np.linalg.qr(features.T.astype(np.float64))[0].astype(np.float32)


def _tensors(head: Head, known: dict[str, Any], turned: Floats | None) -> dict[str, NDArray[Any]]:
    """The head and what is known of the targets, as they are kept."""
    weight = head.weight if turned is None else head.weight @ turned.T
    tensors = {name: np.atleast_1d(np.asarray(array, np.float64)) for name, array in known.items()}
    return {"weight": weight, "bias": head.bias, **tensors}


def _rows(job: Job) -> tuple[Rows, Rows]:
    """What is learnt from: rows of the dataset, or where a label is one for each place, places."""
    if job.task.needs == "places":
        from speciate_trainers.placed import placed

        assert job.encoder, "labels of places are learnt on a base"
        return placed(job, job.encoder())
    _refuse_nan(job)
    return (job.train.features, job.train.targets), (job.dev.features, job.dev.targets)


def _refuse_settings(job: Job) -> None:
    if job.trainer:
        asked = " ".join(f"trainer.{name}={value}" for name, value in job.trainer.items())
        exists = "these are settings of Lightning's Trainer, and a probe is solved without it"
        raise UsageError(f"{asked} does nothing here", exists, "leave it out, or choose method=full")


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


class Head:
    """One linear layer; the loss is scikit-learn's, C * sum(loss) + |w|^2 / 2, divided by C * n."""

    def __init__(self, task: Task, width: int, options: ProbeOptions) -> None:
        self.task, self.options, self.c = task, options, 1.0
        shape = len(task.labels) or 1, width
        self.weight, self.bias = (
            np.zeros(shape, np.float32),
            np.zeros(shape[0], np.float32),
        )  # convex: any start will do

    def scores(self, features: Floats) -> Floats:
        found: Floats = features @ self.weight.T + self.bias
        return found

    def at(self, c: float, known: Rows, judged: Rows) -> float:
        """How well it does on some rows, learnt from others at this strength."""
        self.c = c
        self.solve(*known)
        return self.judge(*judged)

    def judge(self, features: Floats, targets: NDArray[Any]) -> float:
        return LOSSES[self.task.name](self.scores(features), targets, self.options.balanced)[0]

    def solve(self, features: Floats, targets: NDArray[Any]) -> None:
        """From where it is to where the loss of these rows is least."""
        loss, strength = LOSSES[self.task.name], 1 / (self.c * len(features))

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            self._put(flat)
            value, slope = loss(self.scores(features), targets, self.options.balanced)
            weight = flat[: self.weight.size]
            uphill = (slope.T @ features).ravel() + strength * weight
            return value + strength / 2 * float(weight @ weight), np.append(uphill, slope.sum(axis=0, dtype=np.float64))

        start = np.concatenate([self.weight.ravel(), self.bias]).astype(np.float64)
        limits = {"maxiter": self.options.max_iter, "gtol": 1e-4, "ftol": 1e-14}  # where scikit-learn stops, too
        self._put(minimize(objective, start, jac=True, method="L-BFGS-B", options=limits).x)

    def _put(self, flat: NDArray[np.float64]) -> None:
        weight, bias = np.split(flat.astype(np.float32), [self.weight.size])
        self.weight, self.bias = weight.reshape(self.weight.shape), bias

    def spread(self, features: Floats, targets: NDArray[Any]) -> NDArray[np.float64]:
        """How far off it is on rows, the root of the mean square."""
        apart = self.scores(features).astype(np.float64) - targets.reshape(len(targets), -1)
        found: NDArray[np.float64] = np.maximum(np.sqrt(np.square(apart).mean(axis=0)), NARROWEST)
        return found

    def copy(self) -> Head:
        twin = Head(self.task, self.weight.shape[1], self.options)
        twin.weight, twin.bias, twin.c = self.weight.copy(), self.bias.copy(), self.c
        return twin


# --- the mean loss of rows, and its slope at their scores ---------------------------------------------------------


def one_of_several(scores: Floats, targets: NDArray[Any], balanced: bool) -> tuple[float, Floats]:
    labels, rows = targets.astype(np.int64), np.arange(len(scores))
    weights = np.full(len(scores), 1 / max(1, len(scores)), np.float32)
    if balanced:
        counts = np.bincount(labels, minlength=scores.shape[1]).clip(1)
        weights = (1 / counts[labels]).astype(np.float32)
        weights /= weights.sum()
    scores -= scores.max(axis=1, keepdims=True)
    own = scores[rows, labels]
    shares = np.exp(scores, out=scores)
    total = shares.sum(axis=1)
    loss = float(((np.log(total) - own) * weights).sum(dtype=np.float64))
    shares *= (weights / total)[:, None]
    shares[rows, labels] -= weights
    return loss, shares


def any_of_several(scores: Floats, targets: NDArray[Any], balanced: bool) -> tuple[float, Floats]:
    """Each label by itself, as one of two; balanced, either counts half."""
    n, wanted = max(1, len(scores)), targets.astype(np.float32)
    weights = np.full(scores.shape, 1 / n, np.float32)
    if balanced:
        yes = wanted.sum(axis=0)
        weights = wanted / (2 * yes.clip(1)) + (1 - wanted) / (2 * (n - yes).clip(1))
    losses = np.logaddexp(np.float32(0), scores) - wanted * scores
    sure = np.float32(0.5) * (1 + np.tanh(scores / 2))
    return float((losses * weights).sum(dtype=np.float64)), (sure - wanted) * weights


def values(scores: Floats, targets: NDArray[Any], balanced: bool) -> tuple[float, Floats]:
    apart = (scores - targets.reshape(scores.shape)).astype(np.float32)
    n = max(1, len(scores))
    return float(np.square(apart).sum(dtype=np.float64) / (2 * n)), apart / np.float32(n)


LOSSES = {"classify": one_of_several, "multilabel": any_of_several, "regress": values, "tag": one_of_several}
