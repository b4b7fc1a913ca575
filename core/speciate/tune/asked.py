"""What a search was asked for: the words of its runs, the space, and when it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speciate.budget import Budget
from speciate.config import overrides_of
from speciate.errors import UsageError, unknown
from speciate.tune.space import Dimension, dimension, words_of
from speciate.tune.study import PRUNERS

__all__ = ["Asked"]

OWN = {"trials": "20", "budget": "", "name": "", "pruner": "median", "trial.budget": ""}


@dataclass(frozen=True)
class Asked:
    """`words` are those of every run; the rest is the search's own."""

    words: tuple[str, ...]
    space: tuple[Dimension, ...]
    trials: int
    budget: Budget
    name: str
    pruner: str

    @classmethod
    def read(cls, recipe: str, words: Sequence[str], space: Mapping[str, Any], settings: Mapping[str, Any]) -> Asked:
        """From words, or from what Python gives; `trials`, `budget`, `name`, `pruner` and `trial.budget` are ours."""
        mine = [f"{key}={settings[key]}" for key in OWN if key in settings]
        others = overrides_of({key: value for key, value in settings.items() if key not in OWN})
        given = [*([f"recipe={recipe}"] if recipe else []), *words, *others, *mine, *words_of(space)]
        own = OWN | dict(word.split("=", 1) for word in given if word.partition("=")[0] in OWN)
        rest = [word for word in given if word.partition("=")[0] not in OWN]
        if own["trial.budget"]:
            rest.append(f"budget={own['trial.budget']}")
        if own["pruner"] not in PRUNERS:
            raise unknown("pruner", own["pruner"], PRUNERS, "type pruner=median")
        dimensions = [dimension(word) for word in rest if word.startswith("space.")]
        return cls(
            words=tuple(word for word in rest if not word.startswith("space.")),
            space=_checked(dimensions),
            trials=_count(own["trials"]),
            budget=_time(own["budget"]),
            name=own["name"],
            pruner=own["pruner"],
        )


def _checked(space: Sequence[Dimension]) -> tuple[Dimension, ...]:
    keys = [one.key for one in space]
    if not keys:
        do = "type space.method.lr=log(1e-5,1e-3), or space.method.rank=[4,8,16]"
        raise UsageError("a search needs a space", "no word begins with space.", do)
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise UsageError(f"space.{twice[0]} is there twice", "one setting is one dimension", "take one of them away")
    return tuple(space)


def _count(word: str) -> int:
    if not word.isdigit() or not int(word):
        raise UsageError(f"trials={word}", "it is a number from 1 on", "type trials=20")
    return int(word)


def _time(words: str) -> Budget:
    budget = Budget(words)
    if budget.unit and not budget.timed:
        do = f"type budget=30m; for each of its runs trial.budget={words}"
        raise UsageError(f"budget={words} of a search", "a search ends after a time", do)
    return budget
