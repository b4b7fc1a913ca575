"""How much a run or a search may use: a time, a number of steps or of tokens, in words."""

from __future__ import annotations

import re

from speciate.errors import UsageError

__all__ = ["Budget"]

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "steps": 1.0, "tokens": 1.0}


class Budget:
    """`10m`, `90s`, `2h`, `500steps`, `2000000tokens`; nothing is no limit."""

    def __init__(self, words: str) -> None:
        found = re.fullmatch(r"([0-9]*\.?[0-9]+(?:e[0-9]+)?) *(s|m|h|steps|tokens)", words.strip()) if words else None
        if words and (not found or not float(found[1]) > 0):
            exists = "a budget is a time, a number of steps or of tokens"
            raise UsageError(
                f"cannot read budget={words!r}", exists, "type budget=10m, budget=500steps or budget=1e6tokens"
            )
        self.words = words
        self.unit = found[2] if found else ""
        self.amount = float(found[1]) * UNITS[self.unit] if found else 0.0

    @property
    def timed(self) -> bool:
        return self.unit in ("s", "m", "h")

    def share(self, seconds: float, steps: int, tokens: float) -> float:
        """How much of it is used up."""
        if not self.unit:
            return 0.0
        return (seconds if self.timed else steps if self.unit == "steps" else tokens) / self.amount
