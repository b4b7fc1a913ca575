"""Splits: made once, when a row first comes in, and never moved.

Each label is shared out 80/10/10, groups stay whole (even against a split that a row came with), and the order within
a label is a hash of the row: the same rows get the same splits, and rows that come later only fill what is short.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from speciate import SpeciateError

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


def named(word: object, error: type[SpeciateError] = SpeciateError) -> str:
    """The split a person's word means; empty when the row does not say."""
    text = str(word or "").strip().lower()
    if text and text not in ALIASES:
        raise error(f"no split named {text!r}", f"there is: {', '.join(SHARES)}", "name one of them, or leave it out")
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
            asked = next((member.split for member in members if member.split), "")
            split = self.groups.get(members[0].group) or asked or _shortest(stratum, self.total, len(members))
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


def _shortest(label: Mapping[str, int], whole: Mapping[str, int], size: int) -> str:
    """The split that the label lacks most. Where that is less than a row, the one of those it lacks that the whole
    dataset lacks most: of many small labels, some give a row to dev and others to test."""
    lacking = _lacking(label, size)
    most = max(SHARES, key=lambda split: lacking[split])
    if lacking[most] >= 1 or not label.get("train"):
        return most
    overall = _lacking(whole, size)
    return max((split for split in SHARES if lacking[split] > 0), key=lambda split: overall[split])


def _lacking(counts: Mapping[str, int], size: int) -> dict[str, float]:
    total = sum(counts.values()) + size
    return {split: share * total - counts.get(split, 0) for split, share in SHARES.items()}
