"""The values of a dataset, without making objects of pydicom's of what is plain: numbers, codes and UIDs.

Each answer is that of `Dataset.get`, which is asked wherever a value is not plain (tests/dicom/test_quick.py).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

__all__ = ["Fields", "kind_of", "plain_numbers", "plain_words", "tag_of"]

SIZES = {"US": "H", "SS": "h", "UL": "L", "SL": "l", "FL": "f", "FD": "d"}
WORDS = ("AS", "CS", "DA", "LO", "SH", "UI")
Number = int | float


class Fields:
    """A dataset to ask many things of."""

    def __init__(self, data: Dataset) -> None:
        self._data = data
        self._raw: dict[int, Any] = dict(data.items())

    def has(self, keyword: str) -> bool:
        return tag_of(keyword) in self._raw

    def value(self, keyword: str) -> Any:
        """As `get`: a number, several, or something else."""
        raw = self._raw.get(tag_of(keyword))
        if raw is None:
            return None
        found = plain_numbers(raw)
        if found is None:
            return self._data.get(keyword)
        return found if len(found) > 1 else found[0]

    def text(self, keyword: str, absent: str = "") -> str:
        """As `str(get)`."""
        raw = self._raw.get(tag_of(keyword))
        if raw is None:
            return absent
        if isinstance(raw, RawDataElement):
            kind = kind_of(raw)
            words = plain_words(raw) if kind in WORDS or (kind in ("DS", "IS") and plain_numbers(raw)) else None
            if words is not None and len(words) == 1:
                return words[0].strip() if kind in ("DS", "IS") else words[0]
        return str(self._data.get(keyword))

    def words(self, keyword: str) -> Any:
        """As `get`, of text: a word, or several."""
        raw = self._raw.get(tag_of(keyword))
        found = plain_words(raw) if isinstance(raw, RawDataElement) and kind_of(raw) in WORDS else None
        if found is None:
            return self._data.get(keyword)
        return found if len(found) > 1 else found[0]


@lru_cache(maxsize=512)
def tag_of(keyword: str) -> int:
    return tag_for_keyword(keyword) or 0


def kind_of(raw: RawDataElement) -> str:
    """Its VR; nothing where that depends on something else."""
    return str(raw.VR) if raw.VR is not None else _usual(int(raw.tag))


def plain_numbers(raw: Any) -> list[Number] | None:
    """The numbers of an element that nobody has looked at yet; nothing where pydicom has to."""
    if not isinstance(raw, RawDataElement) or not raw.value or not raw.is_little_endian:
        return None
    kind, value = kind_of(raw), raw.value
    try:
        if kind == "DS":
            return [float(part) for part in value.rstrip(b" \0").split(b"\\")]
        if kind == "IS":
            return [int(part) for part in value.rstrip(b" \0").split(b"\\")]
        if kind in SIZES:
            code = SIZES[kind]
            return list(struct.unpack(f"<{len(value) // struct.calcsize(f'={code}')}{code}", value))
    except (ValueError, struct.error):
        pass
    return None


def plain_words(raw: RawDataElement) -> list[str] | None:
    """The words of an element that nobody has looked at yet, where they are plain letters."""
    value: bytes | None = raw.value
    if value is None or not value.isascii() or b"\x1b" in value:
        return None
    return value.decode("ascii").rstrip(" \0").split("\\")


@lru_cache(maxsize=1024)
def _usual(tag: int) -> str:
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return ""
