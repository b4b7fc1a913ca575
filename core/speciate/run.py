"""A run: one composed config, executed. Everything it makes lies in its folder; its row in the ledger is written last
and is the commit. Killed at any moment, the same config in the same folder goes on: features already computed are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate import card, lineage
from speciate.catalog import Catalog, load, options_of
from speciate.config import Config
from speciate.contracts import (
    Base,
    Dataset,
    Encoder,
    Engine,
    Evaluator,
    Format,
    Job,
    Judge,
    Loader,
    Method,
    Predictor,
    Reader,
    Row,
    Server,
    TaskKind,
)
from speciate.errors import SpeciateError
from speciate.examples import Pairs
from speciate.features import cached, seen
from speciate.files import new_folder, write_json, write_text
from speciate.journal import Listener, RunJournal, best
from speciate.ledger import Ledger
from speciate.model import RECEIPT, Model, hashes, save, versions
from speciate.progress import StageClock
from speciate.score import Score, difference, score_all, value
from speciate.task import Examples, Predictions, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PARITY_ROWS", "Ran", "Run"]

PARITY_ROWS = 16
REPORT = "report.json"
BESIDE = ("name", "sources", "recipe", "trackers")  # settings that decide nothing about what is learnt
DEV_SHARE = 10  # a dataset that came with its own splits and no dev lends every tenth row of train


@dataclass(frozen=True)
class Ran:
    """What a run did."""

    run: str
    model: str
    status: str
    scores: Mapping[str, Mapping[str, Any]]
    baseline: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float]
    parity: Mapping[str, Any]
    rows: Mapping[str, int]
    dev: float | None = None  # the best score on the dev rows, by the evaluator that decides


class Run:
    """Wires the parts a config names and takes the data through them."""

    def __init__(
        self,
        name: str,
        config: Config,
        dataset: Dataset,
        root: Path,
        catalog: Catalog,
        engine: Engine,
        ledger: Ledger,
        clock: StageClock,
        model: Callable[[str], Model],
        listeners: tuple[Listener, ...] = (),
    ) -> None:
        self.name, self.config, self.catalog, self.engine = name, config, catalog, engine
        self.ledger, self.clock, self.find, self.root = ledger, clock, model, root
        self.folder, self.models = root / "artifacts" / "runs" / name, root / "artifacts" / "models"
        self.journal = RunJournal(self.folder, listeners)
        with clock.stage("open"):
            self.dataset = dataset
            self.format = catalog.get(Format, self.dataset.format)
            self.base = catalog.get(Base, config.base["name"])
            self.method = catalog.get(Method, config.method["name"])
            self.kind = catalog.get(TaskKind, config.task["name"])
            self._check_fit()
            self.encoder: Encoder = self._new_encoder()
            options = options_of(self.format, self.dataset.options)
            self.reader: Reader = catalog.use(self.format, "reader")(options)
            self._encode = cached(self.dataset, self.format, self.reader, self.base, self.encoder, clock)

    def execute(self) -> Ran:
        """The walk: pin the data, encode, train, score, save, prove parity, and write the row."""
        self.engine.tag(self.dataset.name, self.dataset.version, f"run-{self.name}")
        with self.clock.stage("read"):
            train, dev, test = self._splits()
        if self.method.features and self.kind.needs == "vector":
            with self.clock.stage("encode"):
                self._encode_all(train, dev, test)
        with self.clock.stage("load"):
            trainer = self.catalog.use(self.method, "trainer")(self.config.options(self.method, self.config.method))
        watched = self.catalog.get(Evaluator, self.kind.judge())
        self.journal.note(score=watched.name, higher_is_better=watched.higher_is_better)
        with self.clock.stage("train"):
            job = self._job(train, dev)
            tensors = trainer.fit(job)
        with self.clock.stage("score"):
            scores, baseline = self._score(tensors, train, test)
        if hasattr(trainer, "report") and len(test):
            with self.clock.stage("report"):
                report = trainer.report(job, test, tensors, self._judge(test))
                write_json(self.folder / REPORT, report)
        else:
            report = {}
        return self._save(tensors, scores, baseline, test if len(test) else train, report)

    def _judge(self, test: Examples) -> Judge:
        primary = self.catalog.get(Evaluator, self.kind.primary)

        def judge(answers: NDArray[Any], against: NDArray[Any] | None = None) -> Row:
            new = Predictions(self.task, answers, test.targets)
            if against is None:
                score = score_all(self.catalog, new, (primary.name,))[primary.name]
            else:
                score = difference(self.catalog, primary, new, Predictions(self.task, against, test.targets))
            return {"name": score.name, **score.as_dict()}

        return judge

    def _teacher(self, name: str) -> Model:
        """Another model, which must not have seen what this run is judged on."""
        model = self.find(name)
        test = [row for row in self._labelled if row["split"] == "test"]
        if unknown := lineage.judged_fairly(self.engine, model, test, self.find):
            self.journal.note(lineage=f"not known here: what {', '.join(unknown)} learnt from")
        return model

    def _seen(self, model: Model, examples: Examples) -> Examples:
        """Rows of the dataset as another model takes them."""
        if not model.format.modality.agrees(self.format.modality):
            takes, gives = model.format.modality.name, self.format.modality.name
            asked = f"model {model.name!r} takes {takes}, format {self.format.name!r} gives {gives}"
            raise SpeciateError(asked, "", "name a model that was learnt from the same modality")
        return seen(model, self.dataset, examples.rows, self.format, self.reader, self.clock)

    def join(self) -> Ran:
        """Take part in the training that another process leads, and keep nothing."""
        train, dev, _ = self._splits()
        trainer = self.catalog.use(self.method, "trainer")(self.config.options(self.method, self.config.method))
        trainer.fit(dataclasses.replace(self._job(train, dev), journal=None))
        return Ran(self.name, "", "joined", {}, {}, self.clock.seconds, {}, self.counts)

    def _job(self, train: Examples, dev: Examples) -> Job:
        watched = self.catalog.get(Evaluator, self.kind.judge())
        augment = self.catalog.use(self.format, "augment") if self.format.augment else None

        def judge(answers: NDArray[Any], targets: NDArray[Any]) -> float:
            return value(self.catalog, watched, Predictions(self.task, answers, targets))

        return Job(
            train=train,
            dev=dev,
            task=self.task,
            seed=self.config.seed,
            folder=self.folder,
            progress=self.clock,
            trainer=self.config.trainer,
            encoder=self._new_encoder,
            augment=augment,
            judge=judge,
            higher_is_better=watched.higher_is_better,
            journal=self.journal,
            budget=self.config.budget,
            identity=self._identity(),
            model=self._teacher,
            seen=self._seen,
            unlabelled=self._examples(self._unlabelled),
            cache=self.root / "cache",
        )

    def _new_encoder(self) -> Encoder:
        """The base in memory of its own: some methods change its weights."""
        encoder: Encoder = self.catalog.use(self.base, "loader")(self.config.options(self.base, self.config.base))
        return encoder

    def _identity(self) -> str:
        """What decides the result: another config, another version of the data or another base is another run."""
        config = {key: part for key, part in self.config.as_dict().items() if key not in BESIDE}
        decides = [config, self.dataset.name, self.dataset.version, self.encoder.fingerprint()]
        return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()

    def predictor(self, tensors: Mapping[str, Any]) -> Predictor:
        made: Predictor = load(self.method.predictor)(tensors, self.task, self._new_encoder)
        return made

    @cached_property
    def counts(self) -> dict[str, int]:
        return {"labelled": len(self._labelled), "unlabelled": self.dataset.count() - len(self._labelled)}

    @cached_property
    def _labelled(self) -> list[Row]:
        return [row for row in self.dataset.rows(content=False) if row["label"] is not None]

    @cached_property
    def _unlabelled(self) -> list[Row]:
        """Rows for training without a label."""
        return [row for row in self.dataset.rows("train", content=False) if row["label"] is None]

    @cached_property
    def task(self) -> Task:
        learnt = [row for row in self._labelled if row["split"] != "test"]
        if not self.dataset.count():
            do = f"type `speciate log {self.dataset.name}`, then dataset={self.dataset.name}@VERSION, or add files"
            raise SpeciateError(f"dataset {self.dataset.name!r} has no rows", f"version {self.dataset.version}", do)
        if not self._labelled:
            exists = f"its columns are: {', '.join(self.dataset.columns())}"
            do = f"type `speciate add {self.dataset.name} FILES... --target COLUMN`"
            raise SpeciateError(f"dataset {self.dataset.name!r} has no labels", exists, do)
        kind: type[Task] = self.catalog.use(self.kind, "task")
        options = {key: value for key, value in self.config.task.items() if key != "name"}
        return kind.pose(learnt, f"dataset {self.dataset.name!r}", options)

    def _check_fit(self) -> None:
        if not self.format.modality.agrees(self.base.modality):
            fits = [b.name for b in self.catalog.all(Base) if b.modality.agrees(self.format.modality)]
            takes, gives = self.base.modality.name, self.format.modality.name
            asked = f"base {self.base.name!r} takes {takes}, format {self.format.name!r} gives {gives}"
            raise SpeciateError(asked, f"bases that fit: {', '.join(fits) or 'none'}", "type base=NAME")
        for name in self.config.evaluators:  # a name that is wrong is said now, not after training
            self.catalog.get(Evaluator, name)
        if not self.method.does(self.kind.name):
            asked = f"method {self.method.name!r} does not do {self.kind.name}"
            raise SpeciateError(asked, f"it does: {', '.join(self.method.tasks)}", "type task=NAME or method=NAME")
        if self.kind.needs not in self.base.gives:
            asked = (
                f"task {self.kind.name!r} is learnt from {self.kind.needs}, which base {self.base.name!r} gives none of"
            )
            fits = [
                b.name
                for b in self.catalog.all(Base)
                if self.kind.needs in b.gives and b.modality.agrees(self.format.modality)
            ]
            raise SpeciateError(asked, f"bases that do: {', '.join(fits) or 'none'}", "type base=NAME")

    def _splits(self) -> tuple[Examples, Examples, Examples]:
        _ = self.task  # data that poses no task says so before anything about splits
        self.dataset.verify(self._labelled)  # a flipped bit on the disk must not be learnt
        parts = {s: [r for r in self._labelled if r["split"] == s] for s in ("train", "dev", "test")}
        if not parts["dev"] and len(parts["train"]) >= DEV_SHARE:
            parts["dev"] = parts["train"][::DEV_SHARE]
            parts["train"] = [row for i, row in enumerate(parts["train"]) if i % DEV_SHARE]
        if not parts["train"]:
            exists = f"splits: {', '.join(f'{len(rows)} {name}' for name, rows in parts.items())}"
            raise SpeciateError(f"dataset {self.dataset.name!r} has no rows to train on", exists, "add more rows")
        train, dev, test = (self._examples(parts[name]) for name in ("train", "dev", "test"))
        _ = train.targets, dev.targets, test.targets  # a label that only the test rows have is an error now, not later
        return train, dev, test

    def _examples(self, rows: Sequence[Row]) -> Examples:
        filled = bool(rows) and all(name in rows[0] for name in self.reader.schema())
        fill = list if filled else self.dataset.filled
        return Examples(rows, self.task, self.reader.decode, self._encode, self._load, fill, self.dataset.features)

    def _load(self, ids: Sequence[str], **options: Any) -> Loader:
        """Rows to train on; what is decoded stays beside what its row says."""
        return self.dataset.loader(ids, decode=Pairs(self.reader).decode, **options)

    def _encode_all(self, *parts: Examples) -> None:
        """All rows in one call, so that batches are full and sorted; each part then finds its own in the cache."""
        rows = [row for part in parts for row in part.rows]
        vectors = self._encode(self._examples(rows))
        start = 0
        for part in parts:
            part.features = vectors[start : start + len(part)]
            start += len(part)

    def _score(
        self, tensors: Mapping[str, Any], train: Examples, test: Examples
    ) -> tuple[dict[str, Score], dict[str, Score]]:
        if not len(test):
            return {}, {}
        names = self.config.evaluators
        answers = self.predictor(tensors).predict(test)
        prior = self.task.prior(train.targets, len(test))
        return (
            score_all(self.catalog, Predictions(self.task, answers, test.targets), names),
            score_all(self.catalog, Predictions(self.task, prior, test.targets), names),
        )

    def _save(
        self,
        tensors: Mapping[str, Any],
        scores: dict[str, Score],
        baseline: dict[str, Score],
        probe: Examples,
        report: Row,
    ) -> Ran:
        """The model folder appears whole, then its scores are rows, then its own row."""
        info = self._info(scores, baseline)
        with new_folder(self.models / self.name) as folder:
            with self.clock.stage("save"):
                save(folder, info, tensors)
            with self.clock.stage("parity"):
                rows = self.dataset.filled(probe.rows[:PARITY_ROWS])
                receipt = self._parity(folder, tensors, self._examples(rows))
            write_json(folder / RECEIPT, receipt | {"files": hashes(folder)})
            write_text(folder / "README.md", card.render(info, receipt, report))
        dev = best(self.folder, self.journal.notes["higher_is_better"])
        with self.clock.stage("commit"):
            ran = Ran(
                run=self.name,
                model=self.name,
                status="done",
                scores=info["scores"],
                baseline=info["baseline"],
                seconds=self.clock.seconds,
                parity=receipt,
                rows=self.counts,
                dev=dev[1] if dev else None,
            )
            self._write_rows(ran)
        return ran

    def _write_rows(self, ran: Ran) -> None:
        where = {"model": self.name, "dataset": self.dataset.name, "version": self.dataset.version, "split": "test"}
        if ran.scores:
            self.ledger.append("scores", [{**where, "name": name, **score} for name, score in ran.scores.items()])
        row = {**where, "base": self.base.name, "method": self.method.name, "task": self.task.name}
        self.ledger.append("models", [{**row, "name": self.name, "scores": ran.scores, "parity": ran.parity["holds"]}])
        self.ledger.append("runs", [{**row, **dataclasses.asdict(ran), "config": self.config.as_dict()}])

    def _info(self, scores: dict[str, Score], baseline: dict[str, Score]) -> dict[str, Any]:
        schema = self.reader.schema()
        modality = self.format.modality
        return {
            "name": self.name,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "format": {"name": self.format.name, "options": dict(self.dataset.options)},
            "base": {
                "name": self.base.name,
                "options": {key: value for key, value in self.config.base.items() if key != "name"},
                "hash": self.encoder.fingerprint(),
            },
            "method": dict(self.config.method),
            "task": self.task.name,
            "task_options": dict(self.task.options),
            "labels": list(self.task.labels),
            "answers": {"says": self.task.says(), "pipeline": self.task.pipeline.format(format=self.format.name)},
            "dataset": {
                "name": self.dataset.name,
                "version": self.dataset.version,
                "rows": self.dataset.count(),
                **self.counts,
            },
            "input": {
                "columns": dict(schema),
                "modality": {"name": modality.name, "arrays": [dataclasses.asdict(array) for array in modality.arrays]},
            },
            "scores": {name: score.as_dict() for name, score in scores.items()},
            "baseline": {name: score.as_dict() for name, score in baseline.items()},
            "config": self.config.as_dict(),
            "libraries": versions(),
        }

    def _parity(self, folder: Path, tensors: Mapping[str, Any], probe: Examples) -> dict[str, Any]:
        """The answers that were scored, those of the saved model, and those of the served app, on the same rows."""
        trained = self.predictor(tensors).predict(probe)
        saved = Model(folder, self.catalog)
        disk = saved.answers(probe.rows)
        server = self.catalog.get(Server, "http")
        app = self.catalog.use(server, "app")({self.name: saved}, server.options())
        content = list(self.reader.schema())
        outputs = app.ask(self.name, [{name: row[name] for name in content} for row in probe.rows])
        served = self.task.answers(outputs)
        gaps = {"saved": self.task.gap(trained, disk), "served": self.task.gap(disk, served)}
        rounding = min(self.encoder.tolerance, 1e-6)  # a server's thread may add float32 numbers in another order
        limits = {"saved": self.encoder.tolerance + 1e-9, "served": rounding + 1e-9}
        return {
            "holds": all(gaps[name] <= limits[name] for name in gaps),
            "rows": len(probe),
            "max_difference": gaps,
            "allowed": limits,
        }
