"""Rows on their way to a Method: a sample beside what its row says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from speciate.contracts import Reader, Row, Sample

__all__ = ["Pairs"]

SAID = ("id", "label", "source", "row")


@dataclass
class Pairs:
    """The decode of a loader that trains: (sample, row), the row without its content."""

    reader: Reader

    def decode(self, row: Mapping[str, Any]) -> tuple[Sample, Row]:
        return self.reader.decode(row), {name: row.get(name) for name in SAID}
