"""distill: a student learns from what a teacher answers, on rows with labels and on rows without one."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Job, Row, UsageError, world
from speciate.contracts import Judge
from speciate.journal import RunJournal
from speciate.task import Examples
from speciate_trainers.compared import compared
from speciate_trainers.depth import grouped
from speciate_trainers.fixed import Fixed, with_network
from speciate_trainers.full import FullTrainer, arrays, check, started
from speciate_trainers.learner import Learner, Objective
from speciate_trainers.loop import train
from speciate_trainers.lora import LoraTrainer
from speciate_trainers.options import DistillOptions, LoraOptions, TrainOptions
from speciate_trainers.parts import part, sizes_of
from speciate_trainers.teacher import Teacher, teacher_of
from speciate_trainers.told import Taught, Told

__all__ = ["DistillTrainer"]

CHOICES = {"train": ("full", "lora", "head"), "write": ("none", "missing", "all")}
PLAIN = "plain"  # the folder of the student without a teacher


class DistillTrainer:
    """The student is trained as `full`, `lora` or a head alone would; the teacher is asked once, before that."""

    def __init__(self, options: DistillOptions) -> None:
        check(options)
        for name, there in CHOICES.items():
            if getattr(options, name) not in there:
                asked = f"method.{name}={getattr(options, name)}"
                raise UsageError(asked, f"there is: {', '.join(there)}", f"type method.{name}={there[0]}")
        if not 0 <= options.alpha <= 1 or options.temperature <= 0 or options.features < 0:
            asked = f"method.alpha={options.alpha} temperature={options.temperature} features={options.features}"
            exists = "alpha is from 0 to 1, temperature above 0, features not negative"
            raise UsageError(asked, exists, "type method.alpha=0.5 method.temperature=2")
        self.options = options
        self.teacher: Teacher | None = None
        self.steps = (0, 0)  # an epoch's and all, with a teacher
        self.heard: dict[str, int] = {}  # rows that it taught, and answers that were no use
        self.plain: dict[str, NDArray[Any]] | None = None  # the same student from the labels alone

    def fit(self, job: Job) -> dict[str, NDArray[Any]]:
        self.teacher = teacher = teacher_of(job, self.options)
        told, objective = self._lesson(job, teacher)
        identity = hashlib.sha256(f"{job.identity} {teacher.key}".encode()).hexdigest()
        student = self._student(dataclasses.replace(job, train=told, identity=identity), self.options, objective)
        self.plain = self._alone(job) if self.options.plain else None
        return student

    def report(self, job: Job, test: Examples, tensors: Mapping[str, NDArray[Any]], judge: Judge) -> Row:
        """Teacher, student, and the student that had none, on the same rows."""
        assert self.teacher is not None, "fit comes first"
        return compared(job, test, self.teacher, tensors, self.plain, judge) | {"heard": self.heard}

    def _lesson(self, job: Job, teacher: Teacher) -> tuple[Told, Objective | None]:
        """The rows to learn from, with the labels they now have, and the loss."""
        free = job.unlabelled.rows if job.unlabelled and self.options.unlabelled else []
        every = job.train.of([*job.train.rows, *free])
        known = np.arange(len(every)) < len(job.train)
        with job.progress.stage("teach"), world.first():
            answers = None if self.options.write != "none" else teacher.answers(every)
            said = teacher.labels(every) if answers is None else _said(job, answers)
        good = np.array([label is not None for label in said])
        written = good if self.options.write == "all" else good & ~known
        kept = np.flatnonzero(good | known).tolist()
        labels = {str(every.rows[i]["id"]): str(said[i]) for i in np.flatnonzero(written).tolist()}
        told = Told(job.train, [every.rows[i] for i in kept], labels)
        self.steps = self._each(job, len(told)), self._all(job, len(told))
        self.heard = {"labelled": len(job.train), "unlabelled": len(free), "dropped": int((~good).sum())}
        if job.journal:
            job.journal.note(teacher=teacher.name, heard=self.heard)
        share = np.where(known, self.options.alpha, 1.0) * good
        return told, self._objective(job, teacher, every, share, answers)

    def _objective(
        self, job: Job, teacher: Teacher, rows: Examples, share: NDArray[Any], answers: NDArray[Any] | None
    ) -> Objective | None:
        if answers is None and not self.options.features:
            return None
        taught = Taught([str(row["id"]) for row in rows.rows], share, self.options.temperature)
        if answers is not None:
            taught.listen(answers)
        if self.options.features:
            assert job.encoder is not None
            torch.manual_seed(job.seed)  # the projection starts from chance
            with world.first():
                vectors = teacher.vectors(rows)
            taught.look(vectors, part(with_network(job.encoder()), job.task)[1], self.options.features)
        return taught

    def _alone(self, job: Job) -> dict[str, NDArray[Any]]:
        """The same student from the labels alone: as many steps, and looked at as often."""
        each, total = self.steps
        own = self._each(job, len(job.train))
        every = self.options.eval_every or each
        options = dataclasses.replace(self.options, epochs=-(-total // own), eval_every=every)
        folder = job.folder / PLAIN
        folder.mkdir(parents=True, exist_ok=True)
        settings = {name: value for name, value in job.trainer.items() if name != "max_epochs"} | {"max_steps": total}
        alone = dataclasses.replace(
            job,
            folder=folder,
            journal=RunJournal(folder) if job.journal else None,
            identity=f"{job.identity} {PLAIN}",
            trainer=settings,
        )
        return self._student(alone, options, None)

    def _student(self, job: Job, options: DistillOptions, objective: Objective | None) -> dict[str, NDArray[Any]]:
        if options.train == "full":
            return FullTrainer(options).fit(job, objective)
        if options.train == "lora":
            shared = {f.name: getattr(options, f.name) for f in dataclasses.fields(TrainOptions)}
            low = LoraOptions(**shared, rank=options.rank, alpha=2.0 * options.rank)
            return LoraTrainer(low).fit(job, objective)
        assert job.encoder is not None
        encoder: Any = with_network(job.encoder())
        if job.task.needs == "vector" and (job.augment is None or not options.augment):
            job = dataclasses.replace(job, train=Told.still(job.train), dev=Told.still(job.dev))
            encoder = Fixed(encoder)  # rows always look the same, and so do their vectors
        network, head = part(encoder, job.task)[0], started(job, encoder, options)
        learner = Learner(network, head, job.task, options, grouped([], head, options), objective)
        train(job, learner, encoder.batch, sizes_of(encoder, job.task))
        return arrays(learner.learnt())

    def _all(self, job: Job, rows: int) -> int:
        """Steps of a training on so many rows."""
        steps = self._each(job, rows) * int(job.trainer.get("max_epochs") or self.options.epochs)
        most = int(job.trainer.get("max_steps") or 0)
        return min(steps, most) if most > 0 else steps

    def _each(self, job: Job, rows: int) -> int:
        """Steps of an epoch over so many rows."""
        batches = -(-rows // (self.options.batch_size * world.size()))
        return -(-batches // int(job.trainer.get("accumulate_grad_batches") or 1))


def _said(job: Job, answers: NDArray[Any]) -> list[str | None]:
    """Answers as labels; None where the teacher gave none."""
    good = np.isfinite(answers.reshape(len(answers), -1)).all(axis=1)
    labels = job.task.written(np.nan_to_num(answers))
    return [label if ok else None for label, ok in zip(labels, good, strict=True)]
