"""The settings that a search tries, as words: `space.method.lr=log(1e-5,1e-3) space.method.rank=[4,8,16]`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from speciate.config import overrides_of
from speciate.errors import UsageError

__all__ = ["Dimension", "dimension", "words_of"]

CALL = re.compile(r"(log|uniform|int|logint)\(\s*([^\s,()]+)\s*,\s*([^\s,()]+)\s*\)")
FIXED = ("dataset", "name", "recipe", "task", "evaluators", "trackers")  # with another, two runs cannot be compared
DIGITS = 4  # of a number that is tried: as many as a person types


@dataclass(frozen=True)
class Dimension:
    """One setting and what it may be: between two numbers, or one of several values."""

    key: str
    kind: str  # log, uniform, int, logint or choice
    low: float = 0.0
    high: float = 0.0
    choices: tuple[Any, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The choices as they are typed."""
        return tuple(_typed(self.key, choice) for choice in self.choices)

    @property
    def log(self) -> bool:
        return self.kind in ("log", "logint")

    @property
    def count(self) -> float:
        """How many values there are."""
        if self.choices:
            return len(self.choices)
        return self.high - self.low + 1 if "int" in self.kind else math.inf

    def value(self, drawn: float | str) -> Any:
        """What a sampler drew, as the setting it stands for."""
        if self.choices:
            return self.choices[self.names.index(str(drawn))]
        return int(drawn) if "int" in self.kind else float(f"{drawn:.{DIGITS}g}")

    def drawn(self, value: Any) -> float | str | None:
        """What a sampler would have to draw for a setting to be this; nothing if that is out of its reach."""
        if self.choices:
            name = _typed(self.key, value)
            return name if name in self.names else None
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if number and self.low <= value <= self.high else None

    def words(self, value: Any) -> list[str]:
        """The setting as one types it."""
        return overrides_of({self.key: value})


def words_of(space: Mapping[str, Any], prefix: str = "space.") -> list[str]:
    """What Python gives as words: {"method.lr": "log(1e-5,1e-3)", "method.rank": [4, 8]}."""
    found = []
    for key, value in space.items():
        if isinstance(value, Mapping):
            found += words_of(value, f"{prefix}{key}.")
        else:
            found += [f"{prefix}{key}={value}"] if isinstance(value, str) else overrides_of({prefix + key: value})
    return found


def dimension(word: str) -> Dimension:
    """A word of the space, read."""
    key, _, text = word.removeprefix("space.").partition("=")
    if not key or not text:
        raise _unread(word)
    if key.split(".")[0] in FIXED:
        exists = f"runs that differ in {key} cannot be compared"
        raise UsageError(f"a search cannot try {word!r}", exists, "search over settings of base. and method.")
    if called := CALL.fullmatch(text.strip()):
        return _range(word, key, *called.groups())
    choices = _choices(word, text)
    return Dimension(key, "choice", choices=choices)


def _range(word: str, key: str, kind: str, low: str, high: str) -> Dimension:
    try:
        least, most = float(low), float(high)
    except ValueError:
        raise _unread(word) from None
    if not math.isfinite(least) or not math.isfinite(most) or least >= most:
        raise UsageError(
            f"{word!r} is an empty range", "it goes from the lower number to the higher", "turn them round"
        )
    if kind in ("log", "logint") and least <= 0:
        exists = "a range by powers is above zero"
        raise UsageError(f"cannot read {word!r}", exists, f"type space.{key}=uniform({low},{high})")
    if "int" in kind and not (least.is_integer() and most.is_integer()):
        raise UsageError(f"cannot read {word!r}", f"{kind} is between whole numbers", f"type space.{key}=uniform(…)")
    return Dimension(key, kind, least, most)


def _choices(word: str, text: str) -> tuple[Any, ...]:
    """The values of a list, as the settings of a run are read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = OverridesParser.create().parse_override(f"it={text}").value()
    except HydraException:
        raise _unread(word) from None
    if not isinstance(found, Sequence) or isinstance(found, str) or not found:
        raise _unread(word)
    return tuple(value for i, value in enumerate(found) if value not in found[:i])


def _unread(word: str) -> UsageError:
    exists = "a space is log(low,high), uniform(low,high), int(low,high), logint(low,high) or a list like [4,8,16]"
    return UsageError(f"cannot read {word!r}", exists, "type space.method.lr=log(1e-5,1e-3)")


def _typed(key: str, value: Any) -> str:
    return overrides_of({key: value})[0].removeprefix(f"{key}=")
