"""Errors a person can act on: what was asked, what exists, what to type.

SpeciateError            exit 1   it was tried and failed
├── UsageError           exit 2   what was typed cannot be done
├── GateError            exit 3   a gate said no
├── Pruned               exit 1   a search saw that a run would not be among the best, and ended it
└── Stopped              exit 143, 130 or 75   somebody asked it to stop, and it can go on
"""

from __future__ import annotations

import difflib
import os
import signal
from collections.abc import Iterable

__all__ = ["GateError", "Pruned", "SpeciateError", "Stopped", "UsageError", "did_you_mean", "unknown"]


class SpeciateError(Exception):
    """One problem in three parts; the CLI prints them, `--json` carries them."""

    exit_code = 1

    def __init__(self, asked: str, exists: str = "", do: str = "") -> None:
        super().__init__("\n".join(part for part in (asked, exists, do) if part))
        self.asked, self.exists, self.do = asked, exists, do

    def as_dict(self) -> dict[str, str]:
        return {"kind": type(self).__name__, "asked": self.asked, "exists": self.exists, "do": self.do}


class UsageError(SpeciateError):
    """What was typed cannot be done: a name, an option or a value is wrong."""

    exit_code = 2


class GateError(SpeciateError):
    """It could be done, but a gate that protects production said no."""

    exit_code = 3


class Pruned(SpeciateError):
    """A search ended a run early, because others were better at the same place; raised by a journal's listener."""


class Stopped(SpeciateError):
    """A signal asked a run to stop; what it had learnt is in a checkpoint. A scheduler is told to start it again."""

    def __init__(self, number: int, where: str) -> None:
        name = signal.Signals(number).name
        super().__init__(f"stopped by {name} {where}", "a checkpoint is kept", "type `speciate resume RUN` to go on")
        requeue = "SLURM_JOB_ID" in os.environ or "SPECIATE_REQUEUE" in os.environ
        self.exit_code = 75 if requeue and number == signal.SIGTERM else 128 + number


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`did you mean 'x'?` for the nearest option, or nothing."""
    near = difflib.get_close_matches(word, list(options), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else ""


def unknown(kind: str, word: str, options: Iterable[str], do: str) -> UsageError:
    """The error for a name that is not there."""
    names = sorted(options)
    exists = f"there is: {', '.join(names)}" if names else f"there is no {kind} yet"
    hint = did_you_mean(word, names)
    return UsageError(f"no {kind} named {word!r}", exists, f"{hint} {do}".strip())
