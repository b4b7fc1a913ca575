"""The optuna side of a search: asked for points to try, told what came of them, kept in one file.

Only ask and tell are used. Draws are seeded by the number of the trial, so that a search that was killed goes on with
the points it would have tried anyway.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from speciate.errors import SpeciateError
from speciate.tune.space import Dimension

__all__ = ["PRUNERS", "Study"]

FRESH, REPEATS = 5, 5  # trials before the sampler models anything; equal draws before one at random

PRUNERS: dict[str, Callable[[Any], Any]] = {  # the first dev score of a run, maybe its only one, ends none
    "median": lambda o: o.pruners.MedianPruner(n_startup_trials=FRESH, n_warmup_steps=2),
    "halving": lambda o: o.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3),
    "none": lambda o: o.pruners.NopPruner(),
}
STATES = {"done": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


class Study:
    """Trials are optuna's; a point is {key: value} of the settings they try. Who uses it holds the search's lock."""

    def __init__(self, path: Path, space: Sequence[Dimension], higher_is_better: bool, pruner: str, seed: int) -> None:
        self.optuna = _optuna()
        self.space, self.seed = space, seed
        _whole_lines(path)
        journal = self.optuna.storages.journal.JournalFileBackend(str(path), lock_obj=_Held())
        self.study = self.optuna.create_study(
            storage=self.optuna.storages.JournalStorage(journal),
            study_name="tune",
            direction="maximize" if higher_is_better else "minimize",
            load_if_exists=True,
            pruner=PRUNERS[pruner](self.optuna),
        )
        self.distributions = {one.key: self._distribution(one) for one in space}

    def _distribution(self, one: Dimension) -> Any:
        kinds = self.optuna.distributions
        if one.choices:
            return kinds.CategoricalDistribution(one.names)
        if "int" in one.kind:
            return kinds.IntDistribution(int(one.low), int(one.high), log=one.log)
        return kinds.FloatDistribution(one.low, one.high, log=one.log)

    # --- trials ---------------------------------------------------------------------------------------------------

    @property
    def trials(self) -> list[Any]:
        """Those that were run, or are."""
        ran = (trial for trial in self.study.get_trials(deepcopy=False) if "same" not in trial.user_attrs)
        return [trial for trial in ran if trial.state.name != "WAITING"]

    @property
    def ended(self) -> list[Any]:
        return [trial for trial in self.trials if trial.state.is_finished()]

    def open(self) -> list[Any]:
        """Trials that were asked for and never told, because the search was killed or stopped."""
        found = [trial for trial in self.trials if not trial.state.is_finished()]
        return [self.optuna.trial.Trial(self.study, trial._trial_id) for trial in found]

    def point(self, trial: Any) -> dict[str, Any]:
        return {one.key: one.value(trial.params[one.key]) for one in self.space if one.key in trial.params}

    def first(self, point: Mapping[str, Any]) -> None:
        """Try this before anything else, in a new study: what would be set without a search."""
        drawn = {one.key: one.drawn(point.get(one.key)) for one in self.space}
        there = {key: value for key, value in drawn.items() if value is not None}
        if there and not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(there)

    def ask(self) -> Any:
        """A point that was not tried yet; nothing when there is none. One that was is told again, and not run."""
        for again in count():
            known = {_key(self.point(trial)): trial for trial in self.ended}
            if len(known) >= math.prod(one.count for one in self.space):
                return None
            trial = self._draw(again >= REPEATS)
            twin = known.get(_key(self.point(trial)))
            if twin is None:
                return trial
            self.note(trial, same=twin.number)
            self._copy(trial, twin)
        return None

    def _draw(self, at_random: bool) -> Any:
        words = f"{self.seed} {len(self.study.get_trials(deepcopy=False))}"
        seed = int.from_bytes(hashlib.sha256(words.encode()).digest()[:4], "big")
        samplers = self.optuna.samplers
        tpe = samplers.TPESampler(seed=seed, n_startup_trials=FRESH)
        self.study.sampler = samplers.RandomSampler(seed=seed) if at_random else tpe
        return self.study.ask(self.distributions)

    def _copy(self, trial: Any, twin: Any) -> None:
        """The same settings and the same seed come to the same end."""
        for nth, value in twin.intermediate_values.items():
            trial.report(value, nth)
        self.study.tell(trial, twin.value if twin.state.name == "COMPLETE" else None, state=twin.state)

    def note(self, trial: Any, **facts: Any) -> None:
        for name, fact in facts.items():
            trial.set_user_attr(name, fact)

    def tell(self, trial: Any, status: str, value: float | None = None) -> None:
        self.study.tell(trial, value, state=getattr(self.optuna.trial.TrialState, STATES[status]))

    def report(self, trial: Any, value: float, nth: int) -> bool:
        """The nth dev score of a trial; whether it should end here."""
        if nth > max(self.study.trials[trial.number].intermediate_values, default=0):
            trial.report(value, nth)
        return bool(trial.should_prune())


class _Held:
    """The search's own lock is held for as long as the file is open; optuna's would outlive a kill for 30 seconds."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        return None


def _whole_lines(path: Path) -> None:
    """A line that a kill cut short goes: what is written after it would not be read."""
    if path.exists():
        data = path.read_bytes()
        if not data.endswith(b"\n"):
            path.write_bytes(data[: data.rfind(b"\n") + 1])


def _optuna() -> Any:
    if importlib.util.find_spec("optuna") is None:
        exists = "which this environment does not have"
        raise SpeciateError("tune needs optuna", exists, 'type `pip install "speciate[tune]"`')
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _key(point: Mapping[str, Any]) -> str:
    return repr(sorted(point.items()))
