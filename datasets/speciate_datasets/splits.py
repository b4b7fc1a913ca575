"""Splits: made once, when a row first comes in, and never moved.

Each label is shared out 80/10/10, groups stay whole, and the order within a label is a hash of the row: the same rows
get the same splits, and rows that come later only fill what is short.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from speciate import UsageError

SHARES = {"train": 0.8, "dev": 0.1, "test": 0.1}
ALIASES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
}


def named(word: object) -> str:
    """The split a person's word means; empty when the row does not say."""
    text = str(word or "").strip().lower()
    if text and text not in ALIASES:
        raise UsageError(
            f"no split named {text!r}", f"there is: {', '.join(SHARES)}", "name one of them, or leave it out"
        )
    return ALIASES.get(text, "")


@dataclass(frozen=True)
class Placed:
    """What decides a row's split: its id, its label, its group, and the split it came with."""

    id: str
    label: str
    group: str
    split: str


@dataclass
class Splits:
    """The counts so far, and where each group lives."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # label -> split -> rows
    total: Counter[str] = field(default_factory=Counter)
    groups: dict[str, str] = field(default_factory=dict)

    def load(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Existing rows, as (label, group, split)."""
        for label, group, split in rows:
            self._count(label, split)
            if group:
                self.groups[group] = split

    def assign(self, rows: Sequence[Placed]) -> dict[str, str]:
        """A split for each new row, by id."""
        units: dict[str, list[Placed]] = defaultdict(list)
        for row in rows:
            units[row.group or row.id].append(row)
        labels = {row.label for row in rows} | set(self.counts)
        stratified = (
            len(labels) * 2 <= len(rows) + self.total.total()
        )  # labels that hardly repeat are numbers or names: do not share each out
        placed: dict[str, str] = {}
        for unit in sorted(units, key=_order):
            members = units[unit]
            stratum = self.counts[members[0].label] if stratified else self.total
            split = members[0].split or self.groups.get(members[0].group, "") or _shortest(stratum, len(members))
            if members[0].group:
                self.groups[members[0].group] = split
            for member in members:
                placed[member.id] = split
                self._count(member.label, split)
        return placed

    def _count(self, label: str, split: str) -> None:
        self.counts[label][split] += 1
        self.total[split] += 1


def _order(unit: str) -> bytes:
    return hashlib.blake2b(unit.encode(), digest_size=8, person=b"split").digest()


def _shortest(counts: Mapping[str, int], size: int) -> str:
    total = sum(counts.values()) + size
    return max(SHARES, key=lambda split: SHARES[split] * total - counts.get(split, 0))
