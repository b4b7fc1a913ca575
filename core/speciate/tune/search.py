"""The search: trial after trial, each a Run, steered by dev scores alone, until there were enough or time is up."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate import world
from speciate.config import Config
from speciate.contracts import Dataset, Evaluator, TaskKind
from speciate.errors import Pruned, SpeciateError, Stopped, UsageError
from speciate.files import check_name, read_json, write_json
from speciate.journal import metrics
from speciate.run import DEV_SHARE
from speciate.tune import page
from speciate.tune.asked import Asked
from speciate.tune.study import Study

if TYPE_CHECKING:
    from speciate.workspace import Workspace

__all__ = ["Tuning"]

IN_VAIN = 3  # trials that fail one after the other before any was done


class OutOfTime(Stopped):
    """The search's time is up while a run goes on; with more time it is resumed."""

    def __init__(self, budget: str) -> None:
        SpeciateError.__init__(self, f"the search's budget of {budget} was used up", "", "type a larger budget")


class Tuning:
    """One search in its folder, artifacts/tunes/NAME."""

    def __init__(self, workspace: Workspace, asked: Asked) -> None:
        self.ws, self.asked = workspace, asked
        if world.size() > 1:
            do = "type `speciate tune` without torchrun or srun"
            raise UsageError("a search runs in one process", f"{world.size()} were started", do)
        start = {one.key: one.value(one.names[0] if one.choices else one.low) for one in asked.space}
        workspace.config("", *self._words(start))  # a word or a key that is wrong is said now
        self.config = workspace.config("", *asked.words)
        catalog = workspace.catalog
        self.score = catalog.get(Evaluator, catalog.get(TaskKind, self.config.task["name"]).judge())
        name, _, at = self.config.dataset.partition("@")
        dataset = workspace.engine.dataset(name, at or None)
        _check_dev(dataset)
        self.at = f"{dataset.name}@{dataset.version}"
        words = [word for word in asked.words if not word.startswith("dataset=")]
        space = {one.key: [one.kind, one.low, one.high, *one.names] for one in asked.space}
        self.plan = {"words": words, "space": space, "dataset": self.at, "score": self.score.name}
        digest = hashlib.sha256(json.dumps(self.plan, sort_keys=True).encode()).hexdigest()[:6]
        usual = f"{name[:30]}-{self.config.method['name'][:20]}-{digest}"
        self.name = check_name("search", asked.name or usual)
        self.folder = workspace.root / "artifacts" / "tunes" / self.name
        self.until = float("inf")

    def _words(self, point: Mapping[str, Any]) -> list[str]:
        """What to type for a run with these settings."""
        dimensions = {one.key: one for one in self.asked.space}
        return [*self.asked.words, *(word for key, value in point.items() for word in dimensions[key].words(value))]

    # --- the search -----------------------------------------------------------------------------------------------

    def run(self) -> dict[str, Any]:
        """Go on until there is enough; what was found, also written into the folder after each trial."""
        from filelock import FileLock, Timeout

        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "tune.lock", timeout=0):
                return self._held()
        except Timeout as error:
            raise UsageError(f"search {self.name!r} is running", "in another process", "wait for it") from error

    def _held(self) -> dict[str, Any]:
        self._same_as_before()
        higher = self.score.higher_is_better
        asked = self.asked
        self.study = Study(self.folder / "study.log", asked.space, higher, asked.pruner, self.config.seed)
        self.study.first({one.key: _usual(self.config, one.key) for one in asked.space})
        if asked.budget.unit:
            spent = sum(trial.user_attrs.get("seconds", 0.0) for trial in self.study.trials)
            self.until = time.monotonic() + asked.budget.amount - spent
        why = ""
        try:
            why = self._search()
        finally:
            result = self._result(why or "it was interrupted: the same command goes on")
            page.write(self.folder, result, asked.space)
        if result["best"] is None:
            said = next((row["error"] for row in reversed(result["trials"]) if row["error"]), "")
            do = "type the same with a larger budget to go on" if not said else "mend that, and type the same again"
            raise SpeciateError(f"no trial of {self.name} was done: {why}", " ".join(said.split("\n")), do)
        return result

    def _same_as_before(self) -> None:
        """A search that has this name and asked for something else is another one."""
        path = self.folder / "plan.json"
        if not path.exists():
            write_json(path, self.plan)
        before = read_json(path)
        for what, now in self.plan.items():
            if before.get(what) != now:
                exists = f"its {what} was {before.get(what)}, now it is {now}"
                raise UsageError(f"search {self.name!r} is another one", exists, "type another name=NAME")

    def _search(self) -> str:
        """Why it ended."""
        try:
            for trial in self.study.open():
                self._go_on(trial)
            while len(self.study.ended) < self.asked.trials:
                self._in_time()
                trial = self.study.ask()
                if trial is None:
                    return "every point of the space was tried"
                self._try(trial)
        except OutOfTime as error:
            return error.asked
        return f"{len(self.study.ended)} trials were made"

    def _in_time(self) -> None:
        if time.monotonic() >= self.until:
            raise OutOfTime(self.asked.budget.words)

    def _go_on(self, trial: Any) -> None:
        """A trial that was never told of: its run has ended since, or is resumed, or never began."""
        run = trial.user_attrs.get("run", "")
        row = self.ws.ledger.latest("runs", "run").get(run, {})
        if not (self.ws.root / "artifacts" / "runs" / run / "run.json").is_file() or not run:
            self.study.note(trial, error="it was killed before its run began")
            self.study.tell(trial, "failed")
        elif row.get("status") == "done":
            self.study.tell(trial, "failed" if row["dev"] is None else "done", row["dev"])
        elif row.get("status") in ("pruned", "failed"):
            self.study.note(trial, error=row.get("error", ""))
            self.study.tell(trial, row["status"])
        else:
            self._try(trial)

    def _try(self, trial: Any) -> None:
        """One trial, from where it is to its end."""
        start, before = time.monotonic(), trial.user_attrs.get("seconds", 0.0)
        ended: tuple[str, float | None, Exception | None] | None = None
        try:
            ended = self._ran(trial)
        finally:
            self.study.note(trial, seconds=round(before + time.monotonic() - start, 3))
        status, value, error = ended
        if error is not None:
            self.study.note(trial, error=str(error) or type(error).__name__)
        self.study.tell(trial, status, value)
        if status != "failed":  # nobody goes on with it, and twenty of them fill a disk
            shutil.rmtree(self._folder(trial) / "checkpoints", ignore_errors=True)
        self._say(page.write(self.folder, self._result("it goes on"), self.asked.space))
        if status == "failed" and error is not None:
            self._enough(error)

    def _ran(self, trial: Any) -> tuple[str, float | None, Exception | None]:
        """How its run ended: status, dev score, what went wrong. That somebody stopped it is for the caller."""
        try:
            ran = self.ws.carry(self._folder(trial), self._listener(trial))
        except Pruned as error:
            return "pruned", None, error
        except Stopped:
            raise
        except Exception as error:
            return "failed", None, error
        if ran.dev is None:
            exists = f"method {self.config.method['name']!r} wrote none into its journal"
            return "failed", None, UsageError(f"run {ran.run!r} has no dev score", exists, "tune another method")
        return "done", ran.dev, None

    def _folder(self, trial: Any) -> Path:
        """Of the trial's run, which begins now if it has none yet."""
        if run := trial.user_attrs.get("run"):
            return self.ws.root / "artifacts" / "runs" / str(run)
        words = [*self._words(self.study.point(trial)), f"dataset={self.at}", f"name={self.name}"]
        folder = self.ws.begin(self.ws.config("", *words))
        self.study.note(trial, run=folder.name)
        return folder

    def _listener(self, trial: Any) -> Any:
        """Hears the run's journal: ends it when time is up, or when others were better at the same place."""

        def hear(step: int, numbers: Mapping[str, float]) -> None:
            self._in_time()
            if "dev" not in numbers:
                return
            folder = self.ws.root / "artifacts" / "runs" / trial.user_attrs["run"]
            nth = len(metrics(folder)["dev"])  # the same after a resume, which writes some steps again
            if self.study.report(trial, numbers["dev"], nth):
                said = f"dev {self.score.name} is {numbers['dev']:.4g} at step {step}"
                raise Pruned(f"pruned: {said}", "other trials were better there", "")

        return hear

    def _enough(self, error: Exception) -> None:
        """A mistake that every trial would make again is said at once."""
        statuses = [trial.state.name for trial in self.study.ended]
        if "COMPLETE" not in statuses and (isinstance(error, UsageError) or statuses[-IN_VAIN:] == ["FAIL"] * IN_VAIN):
            raise error

    # --- what was found -------------------------------------------------------------------------------------------

    def _result(self, why: str) -> dict[str, Any]:
        rows = [self._row(number, trial) for number, trial in enumerate(self.study.trials, 1)]
        done = [row for row in rows if row["status"] == "done"]
        best = (max if self.score.higher_is_better else min)(done, key=lambda row: row["dev"]) if done else None
        return {
            "tune": self.name,
            "dataset": self.at,
            "score": self.score.name,
            "higher_is_better": self.score.higher_is_better,
            "stopped": why,
            "trials": rows,
            "best": best,
            "words": self._words(best["values"]) if best else [],
            "seconds": round(sum(row["seconds"] for row in rows), 3),
            "folder": str(self.folder),
            "picture": str(self.folder / page.PICTURE),
        }

    def _row(self, number: int, trial: Any) -> dict[str, Any]:
        status = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "unfinished")
        seen = [value for value in trial.intermediate_values.values() if value == value]
        dev = (max if self.score.higher_is_better else min)(seen, default=None)
        return {
            "trial": number,
            "run": trial.user_attrs.get("run", ""),
            "status": status,
            "values": self.study.point(trial),
            "dev": trial.value if status == "done" else dev,
            "seconds": trial.user_attrs.get("seconds", 0.0),
            "error": trial.user_attrs.get("error", ""),
        }

    def _say(self, result: Mapping[str, Any]) -> None:
        if not self.ws.quiet:
            print(page.line(result), file=sys.stderr)  # noqa: T201


def _usual(config: Config, key: str) -> Any:
    """What a setting is without a search."""
    found: Any = config.as_dict()
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found.get("name") if isinstance(found, Mapping) else found


def _check_dev(dataset: Dataset) -> None:
    """Settings are chosen on dev rows: without any there is nothing to choose by."""
    rows = [row["split"] for row in dataset.rows(content=False) if row["label"] is not None]
    if "dev" not in rows and rows.count("train") < DEV_SHARE:
        exists = f"it has {rows.count('train')} labelled train rows and {rows.count('test')} test rows"
        do = f"type `speciate add {dataset.name} FILES... --split dev`"
        raise UsageError(f"dataset {dataset.name!r} has no dev rows to choose by", exists, do)
