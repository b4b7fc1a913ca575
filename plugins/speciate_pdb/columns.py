"""Numbers in fixed columns: which fields are plain decimals, and residue numbers with all their habits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_pdb.table import Broken

__all__ = ["coordinates", "plain", "whole_numbers"]

KIND = np.full(256, 4, np.uint8)  # 0 space, 1 sign, 2 digit, 3 dot, 4 anything else
KIND[[ord(" "), *b"-+", ord(".")]] = 0, 1, 1, 3
KIND[ord("0") : ord("9") + 1] = 2
# What a field has been so far, and what the next byte makes of it: nothing, a sign, digits, a dot with digits before
# it, a dot without, digits behind it, a number and spaces, no number.
NOTHING, SIGN, WHOLE, DOT, LONE, PART, DONE, WRONG = range(8)
NEXT = np.array(
    [
        [NOTHING, SIGN, WHOLE, LONE, WRONG],
        [WRONG, WRONG, WHOLE, LONE, WRONG],
        [WRONG, WRONG, WHOLE, DOT, WRONG],
        [DONE, WRONG, PART, WRONG, WRONG],
        [WRONG, WRONG, PART, WRONG, WRONG],
        [DONE, WRONG, PART, WRONG, WRONG],
        [DONE, WRONG, WRONG, WRONG, WRONG],
        [WRONG] * 5,
    ],
    np.uint8,
).ravel()
PAIR = (KIND[None, :] + 5 * KIND[:, None]).T.ravel()  # of two bytes at once, the first one in the low half
TWICE = NEXT[(NEXT.reshape(8, 5)[:, :, None] * 5 + np.arange(5)).astype(np.int64)].ravel()
PLAIN = np.isin(np.arange(8), [DOT, PART, DONE])
UPPER, LOWER = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789abcdefghijklmnopqrstuvwxyz"


def plain(fields: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Fields [n, an even width] of spaces, a sign or none, digits around one dot, and spaces: nothing to misread."""
    state = np.zeros(len(fields), np.uint8)
    for two in PAIR[np.ascontiguousarray(fields).view("<u2").T]:
        state = TWICE[state * np.uint8(25) + two]
    good: NDArray[np.bool_] = PLAIN[state]
    return good


def coordinates(fields: NDArray[np.uint8], lines: NDArray[np.int64]) -> NDArray[np.float64]:
    """Coordinates [n, 3] out of 24 columns each, one by one; for the few that are not plain."""
    found = np.empty((len(fields), 3))
    for i, field in enumerate(fields):
        text = field.tobytes()
        for axis in range(3):
            try:
                found[i, axis] = float(text[8 * axis : 8 * axis + 8])
            except ValueError:
                shown = text.decode("ascii", "replace")
                raise Broken(f"line {lines[i] + 1} has no coordinates, but {shown!r}") from None
            if not np.isfinite(found[i, axis]):
                raise Broken(f"line {lines[i] + 1} has a coordinate that is no number: {text.decode()!r}")
    return found


def whole_numbers(fields: NDArray[np.uint8], lines: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Residue numbers and insertion codes out of five columns. A number of five digits takes the code's column, and
    hybrid-36 counts on from 9999 with letters."""
    packed = np.ascontiguousarray(fields).view("S5")[:, 0]
    first = np.flatnonzero(np.append(True, packed[1:] != packed[:-1]))  # a residue has many atoms, one after another
    many = np.diff(np.append(first, len(packed)))
    numbers, codes = _usual(fields[first]) or _each(packed[first], lines[first])
    return np.repeat(numbers, many), np.repeat(codes, many)


def _usual(fields: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[Any]] | None:
    """Four columns of number and a code that is no digit, if all are so."""
    if (KIND[fields[:, 4]] == 2).any():
        return None
    try:
        numbers = np.ascontiguousarray(fields[:, :4]).view("S4")[:, 0].astype(np.int64)
    except ValueError:
        return None
    return numbers.astype(np.int32), np.char.strip(np.ascontiguousarray(fields[:, 4:]).view("S1")[:, 0])


def _each(packed: NDArray[Any], lines: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    numbers, codes = np.empty(len(packed), np.int32), np.empty(len(packed), "S1")
    for i, field in enumerate(packed.tolist()):
        text = field.decode("ascii").ljust(5)
        digits, code = (text, "") if text[4].isdigit() else (text[:4], text[4].strip())
        number = _number(digits.strip())
        if number is None:
            exists = f"line {lines[i] + 1} has no residue number, but {text.strip()!r}"
            raise Broken(f"{exists}: hexadecimal numbers cannot be told from others")
        numbers[i], codes[i] = number, code.encode()
    return numbers, codes


def _number(text: str) -> int | None:
    if text.lstrip("-").isdigit() and text.count("-") <= 1:
        return int(text)
    if len(text) == 4 and text.isalnum() and text[0].isalpha():
        for letters, first in ((UPPER, 0), (LOWER, 26 * 36**3)):
            if all(letter in letters for letter in text):
                return int(text, 36) - 10 * 36**3 + 10**4 + first
    return None
