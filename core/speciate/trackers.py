"""Trackers: where else the numbers of a run go, beside its own `metrics.csv`: `trackers=[tensorboard,wandb]`.

Each is a small class with an extra of its own, imported only when it is named. What they write lies in the workspace,
under artifacts/trackers, and nothing leaves this machine; the variables that the tools have of their own say otherwise.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, Protocol

from speciate.errors import SpeciateError, unknown
from speciate.journal import Listener

__all__ = ["TRACKERS", "Tracker", "check", "opened"]

PROJECT = "speciate"


class Tracker(Protocol):
    """Hears every row of a journal."""

    module: str  # that must be importable

    def __init__(self, place: Path, run: str, settings: Mapping[str, Any]) -> None:
        """`place` is a folder that all runs share; `settings` are what the run was told, by dotted name."""

    def hear(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self, done: bool) -> None: ...


class TensorBoard:
    """`tensorboard --logdir artifacts/trackers/tensorboard`; needs no torch."""

    module = "tensorboard"

    def __init__(self, place: Path, run: str, settings: Mapping[str, Any]) -> None:
        from tensorboard.summary import Writer

        self.writer = Writer(str(place / "tensorboard" / run))

    def hear(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self, done: bool) -> None:
        self.writer.close()


class Wandb:
    """Kept here until somebody types `wandb sync`; $WANDB_MODE=online sends it at once."""

    module = "wandb"

    def __init__(self, place: Path, run: str, settings: Mapping[str, Any]) -> None:
        import wandb

        place.mkdir(parents=True, exist_ok=True)
        mode: Any = os.environ.get("WANDB_MODE", "offline")
        hidden = {"x_disable_stats": True, "x_disable_meta": True, "save_code": False}  # nothing of this machine
        quiet = wandb.Settings(console="off", silent=True, **hidden)
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run,
            id=run,  # a run that goes on is the same one
            resume="allow" if mode == "online" else None,
            dir=str(place),
            mode=mode,
            config=dict(settings),
            settings=quiet,
        )

    def hear(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self, done: bool) -> None:
        self.run.finish(exit_code=0 if done else 1)


class Mlflow:
    """A local SQLite file, as MLflow reads no folders of files any more; $MLFLOW_TRACKING_URI names a server."""

    module = "mlflow"

    def __init__(self, place: Path, run: str, settings: Mapping[str, Any]) -> None:
        from mlflow.tracking import MlflowClient

        place.mkdir(parents=True, exist_ok=True)
        local = f"sqlite:///{(place / 'mlflow.db').absolute()}"
        self.client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI", local))
        known = self.client.get_experiment_by_name(PROJECT)
        experiment = known.experiment_id if known else self.client.create_experiment(PROJECT)
        before = self.client.search_runs([experiment], f"attributes.run_name = '{run}'")
        self.id = before[0].info.run_id if before else self._new(experiment, run, settings)

    def _new(self, experiment: str, run: str, settings: Mapping[str, Any]) -> str:
        made: str = self.client.create_run(experiment, run_name=run).info.run_id
        for name, value in settings.items():
            self.client.log_param(made, name, str(value)[:500])
        return made

    def hear(self, step: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.id, [Metric(name, value, now, step) for name, value in numbers.items()])

    def close(self, done: bool) -> None:
        self.client.set_terminated(self.id, "FINISHED" if done else "FAILED")


class Trackio:
    """A local SQLite file, looked at with `trackio show`; $TRACKIO_DIR says where else."""

    module = "trackio"

    def __init__(self, place: Path, run: str, settings: Mapping[str, Any]) -> None:
        os.environ.setdefault("TRACKIO_DIR", str((place / "trackio").absolute()))
        import trackio

        mine = {"embed": False, "auto_log_cpu": False, "auto_log_gpu": False}
        self.run = trackio.init(project=PROJECT, name=run, resume="allow", config=dict(settings), **mine)

    def hear(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log(dict(numbers), step=step)

    def close(self, done: bool) -> None:
        import trackio

        trackio.finish()


TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": Wandb,
    "mlflow": Mlflow,
    "trackio": Trackio,
}


def check(names: Sequence[str]) -> None:
    """Say now, not after training, which of them is unknown or missing."""
    for name in names:
        if name not in TRACKERS:
            raise unknown("tracker", name, TRACKERS, "type trackers=[tensorboard]")
        if importlib.util.find_spec(TRACKERS[name].module) is None:
            asked = f"tracker {name!r} needs {TRACKERS[name].module}"
            do = f'type `pip install "speciate[{name}]"`'
            raise SpeciateError(asked, "which this environment does not have", do)


@contextmanager
def opened(names: Sequence[str], place: Path, run: str, settings: Mapping[str, Any]) -> Iterator[tuple[Listener, ...]]:
    """Listeners for a journal."""
    check(names)
    with ExitStack() as stack:
        made = [stack.enter_context(_open(name, place, run, _flat(settings))) for name in names]
        yield tuple(tracker.hear for tracker in made)


@contextmanager
def _open(name: str, place: Path, run: str, settings: Mapping[str, Any]) -> Iterator[Tracker]:
    with redirect_stdout(sys.stderr):  # some greet; stdout is for the result
        tracker = TRACKERS[name](place, run, settings)
    done = False
    try:
        yield tracker
        done = True
    finally:
        with redirect_stdout(sys.stderr):
            tracker.close(done)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name; what was not set is left out."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif value not in (None, "", (), []):
            found[prefix + key] = list(value) if isinstance(value, tuple) else value
    return found
