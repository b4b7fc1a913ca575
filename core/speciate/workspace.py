"""The Workspace: a folder that holds datasets, runs, models and endpoints, and the verbs over them.

Every verb of the command line is a method here, with the same name and the same JSON.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from speciate import gate, sources, summary, trackers, world
from speciate.catalog import Catalog, installed, options_of
from speciate.config import Config, compose, overrides_of
from speciate.contracts import Engine, Rows, Server, Store
from speciate.data import DataVerbs
from speciate.errors import GateError, Pruned, SpeciateError, Stopped, UsageError, unknown
from speciate.features import on_dataset
from speciate.files import check_name, read_json, write_json
from speciate.follow import follow
from speciate.journal import Listener, metrics, notes
from speciate.ledger import Ledger
from speciate.model import Model
from speciate.progress import StageClock
from speciate.run import Ran, Run
from speciate.score import score_all

__all__ = ["Workspace"]

DEFAULT = "speciate-workspace"
FORMAT = 1


class Workspace(DataVerbs):
    """`speciate.open(path)` gives one; it is made when it is first written to."""

    def __init__(self, path: str | Path | None = None, *, catalog: Catalog | None = None, quiet: bool = False) -> None:
        self.root = Path(path or os.environ.get("SPECIATE_WORKSPACE") or DEFAULT)
        self.catalog = catalog or installed()
        self.quiet = quiet
        self.ledger = Ledger(self.root, lambda: self.engine)

    @cached_property
    def engine(self) -> Engine:
        """The store, opened when a verb first needs it."""
        self._make()
        store = self.catalog.get(Store, "lance")
        engine: Engine = self.catalog.use(store, "engine")(self.root)
        return engine

    # --- models ---------------------------------------------------------------------------------------------------

    def config(self, recipe: str = "", *words: str, **settings: Any) -> Config:
        """Compose a run's config without running it."""
        chosen = [f"recipe={recipe}"] if recipe else []
        return compose(self.catalog, [*chosen, *words, *overrides_of(settings)], self.root.absolute())

    def run(self, recipe: str = "", *words: str, **settings: Any) -> Ran:
        """Specialise: `ws.run("text/probe", dataset="news", seed=1)`."""
        return self.carry(self.begin(self.config(recipe, *words, **settings)))

    def begin(self, config: Config) -> Path:
        """The folder of a new run, with its plan in it: `carry` does what it says."""
        name = "" if world.rank() else self._plan(config)
        return self.root / "artifacts" / "runs" / str(world.shared(name))

    def _plan(self, config: Config) -> str:
        """A run's folder with all that it is to do; its name."""
        trackers.check(config.trackers)
        dataset = self._stored(config.dataset)
        folder = self._claim(check_name("run", config.name or f"{dataset.name}-{config.method['name']}"))
        plan = {"config": config.as_dict(), "dataset": dataset.name, "version": dataset.version}
        write_json(folder / "run.json", plan)
        return folder.name

    def resume(self, run: str) -> Ran:
        """Go on with a run that was killed or failed; what it had computed is kept."""
        folder = self._begun(run)
        row = self.ledger.latest("runs", "run").get(run)
        if row and row["status"] == "done":
            raise UsageError(
                f"run {run!r} is done", f"its model is {row['model']!r}", "start a new one with `speciate run`"
            )
        return self.carry(folder)

    def _begun(self, run: str) -> Path:
        """The folder of a run that there is."""
        folder = self.root / "artifacts" / "runs" / run
        if not (folder / "run.json").is_file():
            names = [path.parent.name for path in self.root.glob("artifacts/runs/*/run.json")]
            raise unknown("run", run, names, "type `speciate list runs`")
        return folder

    def tune(
        self, recipe: str = "", *words: str, space: Mapping[str, Any] | None = None, **settings: Any
    ) -> dict[str, Any]:
        """Search the best settings on the dev rows: `ws.tune("text/lora", dataset="news", space={"method.lr":
        "log(1e-5,1e-3)", "method.rank": [4, 8]}, trials=20, budget="30m")`. Called again it goes on."""
        from speciate.tune import Asked, Tuning

        return Tuning(self, Asked.read(recipe, words, space or {}, settings)).run()

    def grid(self, recipe: str = "", *words: str, **settings: Any) -> dict[str, Any]:
        """A run for each point of a grid: `ws.grid("text/probe", "seed=1,2,3", dataset="news")`."""
        from speciate.grid import Grid

        return Grid(self, [*([f"recipe={recipe}"] if recipe else []), *words, *overrides_of(settings)]).run()

    def carry(self, folder: Path, *listeners: Listener) -> Ran:
        """Do what the plan in a run's folder says, or go on with it; `listeners` hear the numbers it writes."""
        from filelock import FileLock, Timeout

        plan, clock = read_json(folder / "run.json"), StageClock(self.quiet or world.rank() > 0)
        config = Config.from_dict(plan["config"])
        if world.rank():
            dataset = self.engine.dataset(plan["dataset"], plan["version"])
            parts = (self.root, self.catalog, self.engine, self.ledger, clock, self.model)
            return Run(folder.name, config, dataset, *parts).join()
        try:
            with FileLock(folder / "run.lock", timeout=0.2):  # who follows a run touches its lock
                self._sweep(folder.name)
                return self._attempt(folder, config, plan, clock, listeners)
        except Timeout as error:
            raise UsageError(f"run {folder.name!r} is running", "in another process", "wait for it") from error

    def _attempt(
        self,
        folder: Path,
        config: Config,
        plan: Mapping[str, Any],
        clock: StageClock,
        listeners: tuple[Listener, ...],
    ) -> Ran:
        name, place = folder.name, self.root / "artifacts" / "trackers"
        try:
            dataset = self.engine.dataset(plan["dataset"], plan["version"])
            with trackers.opened(config.trackers, place, name, config.as_dict()) as heard:
                parts = (self.root, self.catalog, self.engine, self.ledger, clock, self.model)
                run = Run(name, config, dataset, *parts, (*heard, *listeners))
                self.catalog.hook.speciate_run_started(run=name, config=config.as_dict())
                ran = run.execute()
        except BaseException as error:
            row = {"run": name, "status": _status(error), "error": str(error) or type(error).__name__, "model": ""}
            where = {"dataset": plan["dataset"], "version": plan["version"], "seconds": clock.seconds}
            with suppress(SpeciateError):  # a full disk: the first error is the one to tell
                self.ledger.append("runs", [{**row, **where}])
            self.catalog.hook.speciate_run_finished(run=name, row=row)
            summary.write(folder, {**row, **where})
            raise
        self.catalog.hook.speciate_run_finished(run=name, row=dataclasses.asdict(ran))
        summary.write(folder, dataclasses.asdict(ran))
        return ran

    def model(self, name: str | Path) -> Model:
        """A model by name, by the endpoint that points at it, or by folder."""
        word = str(name)
        known = self.ledger.latest("models", "name")
        endpoints = self.ledger.latest("endpoints", "name")
        if word in endpoints:
            word = endpoints[word]["model"]
        if word in known:
            return Model(self.root / "artifacts" / "models" / word, self.catalog)
        if Path(name).is_dir():
            return Model(Path(name), self.catalog)
        raise unknown("model", word, [*known, *endpoints], "type `speciate list models`, or give a model's folder")

    def predict(self, model: str | Path, *paths: str | Path) -> dict[str, Rows]:
        """Answers for files, one for each row in them; files that cannot be read are told apart."""
        chosen = self.model(model)
        files, strangers = sources.of_format(chosen.format, paths)
        predictions: Rows = []
        failed = [dataclasses.asdict(stranger) for stranger in strangers]
        for path, *others in chosen.things(files):
            try:
                outputs = chosen.predict_file(path, *others)
            except SpeciateError as error:
                failed.append({"path": str(path), "reason": "; ".join(str(error).split("\n"))})
                continue
            predictions += [{"path": str(path), "row": i, "output": output} for i, output in enumerate(outputs)]
        return {"predictions": predictions, "failed": failed}

    def score(self, model: str | Path, on: str) -> dict[str, Any]:
        """Scores on `DATASET[@VERSION][:SPLIT]`, by default its test split; kept as rows."""
        chosen, clock = self.model(model), StageClock(self.quiet)
        where, _, split = on.partition(":")
        dataset = self._stored(where)
        predictions = on_dataset(chosen, dataset, split or "test", clock)
        scores = {key: score.as_dict() for key, score in score_all(self.catalog, predictions).items()}
        seen = dataset.name == chosen.info["dataset"]["name"] and (split or "test") != "test"
        at = {"model": chosen.name, "dataset": dataset.name, "version": dataset.version, "split": split or "test"}
        self.ledger.append("scores", [{**at, "name": key, **score} for key, score in scores.items()])
        return {**at, "seen_in_training": seen, "scores": scores}

    # --- production -----------------------------------------------------------------------------------------------

    def promote(self, model: str, endpoint: str) -> dict[str, Any]:
        """Point a name in production at a model, if the gate lets it."""
        candidate = self.model(model)
        check_name("endpoint", endpoint)
        current = self.ledger.latest("endpoints", "name").get(endpoint)
        served = self.model(current["model"]) if current else None
        verdict = gate.judge(self.catalog, self.engine, candidate, served)
        if not verdict["passed"]:
            raise GateError(
                f"{candidate.name!r} may not serve {endpoint!r}", verdict["why"], "train a better one first"
            )
        row = {"name": endpoint, "model": candidate.name, "was": current["model"] if current else "", **verdict}
        self.ledger.append("endpoints", [row])
        self.catalog.hook.speciate_model_promoted(endpoint=endpoint, model=candidate.name)
        return {"endpoint": endpoint, **{key: value for key, value in row.items() if key != "name"}}

    def serve(
        self, name: str, ready: Callable[[str], None], host: str = "127.0.0.1", port: int = 8000, **options: Any
    ) -> None:
        """Serve a model or an endpoint until told to stop; `ready(url)` is called once requests are answered."""
        server = self.catalog.get(Server, "http")
        alias = name if name in self.ledger.latest("endpoints", "name") else ""
        model = self.model(name).load()
        app = self.catalog.use(server, "app")({alias or model.name: model}, options_of(server, options))
        app.run(host, port, ready)

    # --- looking --------------------------------------------------------------------------------------------------

    def list(self, what: str = "") -> dict[str, Any]:
        """The rows of datasets, runs, models and endpoints: the latest of each name."""
        keys = {"datasets": "name", "runs": "run", "models": "name", "endpoints": "name"}
        if what and what not in keys:
            raise unknown("list", what, keys, "type `speciate list` for all of them")
        found = {table: list(self.ledger.latest(table, key).values()) for table, key in keys.items()}
        started = {path.parent.name for path in self.root.glob("artifacts/runs/*/run.json")}
        found["runs"] += [
            {"run": name, "status": "unfinished", "model": ""}
            for name in sorted(started - {row["run"] for row in found["runs"]})
        ]
        return {what: found[what]} if what else found

    def show(self, name: str) -> dict[str, Any]:
        """All that is known about a dataset, run, model or endpoint; of a dataset NAME@VERSION or NAME@TAG, too."""
        dataset, _, at = name.partition("@")
        if at:
            version = self.engine.resolve(dataset, at)
            return {"datasets": next(row for row in self.log(dataset) if row["version"] == version)}
        found = {
            kind: row for kind, rows in self.list().items() for row in rows if name in (row.get("name"), row.get("run"))
        }
        if not found:
            names = [row.get("name") or row["run"] for rows in self.list().values() for row in rows]
            raise unknown("dataset, run, model or endpoint", name, set(names), "type `speciate list`")
        if "models" in found:
            model = self.model(name)
            found["models"] = {**model.info, "parity": model.receipt, "folder": str(model.folder)}
        if "runs" in found and (folder := self.root / "artifacts" / "runs" / name).is_dir():
            page = summary.render(folder, found["runs"])
            found["runs"] |= {"metrics": metrics(folder), "notes": notes(folder), "summary": page}
        return found

    def follow(self, run: str, say: Callable[[str], None] = print) -> dict[str, Any]:
        """Say the numbers of a run, of this process or another, as they come; what `show` gives once it has ended."""
        follow(self._begun(run), say)
        return self.show(run)

    # --- the folder -----------------------------------------------------------------------------------------------

    def _make(self) -> None:
        """The folder, with a note of its layout's version."""
        note = self.root / "workspace.json"
        if note.exists():
            content = read_json(note)
            found = content.get("format") if isinstance(content, dict) else None
            if found != FORMAT:
                exists = f"it is of layout {found}, this Speciate reads layout {FORMAT}"
                raise SpeciateError(f"cannot open {self.root}", exists, "use the Speciate that made it")
            return
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            write_json(note, {"format": FORMAT})
        except (OSError, SpeciateError) as error:
            do = "choose another folder with --workspace"
            raise SpeciateError(f"cannot make a workspace at {self.root}", str(error), do) from error

    def _claim(self, stem: str) -> Path:
        """A run's folder under a name nobody else has: stem-1, stem-2, …"""
        runs = self.root / "artifacts" / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        number = 1 + max(
            (int(p.name.rpartition("-")[2]) for p in runs.glob(f"{stem}-*") if p.name[len(stem) + 1 :].isdigit()),
            default=0,
        )
        while True:
            folder = runs / f"{stem}-{number}"
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1

    def _sweep(self, run: str) -> None:
        """What a killed attempt left in the models: never seen under the model's name unless whole, and made again."""
        models = self.root / "artifacts" / "models"
        for leftover in [*models.glob(f".{run}.*"), models / run]:
            shutil.rmtree(leftover, ignore_errors=True)


def _status(error: BaseException) -> str:
    """What a run is whose attempt ended like this."""
    if isinstance(error, Pruned):
        return "pruned"
    return "interrupted" if isinstance(error, Stopped) or not isinstance(error, Exception) else "failed"
