"""PCD, the Point Cloud Library's own kind: a header, then points as text, binary, or binary column by column in LZF."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_3d.shape import Broken, Floats, Shape, numbers, too_many

__all__ = ["lzf", "parse"]

TYPES = {("F", 4): "f4", ("F", 8): "f8"} | {(k, n): f"{k.lower()}{n}" for k in "IU" for n in (1, 2, 4, 8)}
HEADER = 1 << 14


def parse(data: bytes, most: int) -> Shape:
    head, start = _header(data)
    fields, count = _fields(head), _count(head, most)
    stride = sum(kind.itemsize for _, kind in fields)
    match head["DATA"]:
        case ["ascii"]:
            columns = _text(data[start:], fields, count)
        case ["binary"]:
            if len(data) - start != stride * count:
                raise Broken(f"its header says {count:,} points of {stride} bytes, {len(data) - start:,} bytes follow")
            table = np.frombuffer(data, np.dtype([(f"{i}", kind) for i, (_, kind) in enumerate(fields)]), count, start)
            columns = {name: table[f"{i}"] for i, (name, _) in enumerate(fields)}
        case ["binary_compressed"]:
            columns = _compressed(data, start, fields, count)
        case other:
            raise Broken(f"its data is {' '.join(other)[:40]!r}, not ascii, binary or binary_compressed")
    return _shape(columns)


def _shape(columns: dict[str, NDArray[Any]]) -> Shape:
    if not {"x", "y", "z"} <= columns.keys():
        raise Broken(f"its fields are {', '.join(columns)}; x, y and z are needed")
    shape = Shape(_stack(columns, "x", "y", "z"))
    if {"normal_x", "normal_y", "normal_z"} <= columns.keys():
        shape.normals = _stack(columns, "normal_x", "normal_y", "normal_z")
    return shape


def _stack(columns: dict[str, NDArray[Any]], *names: str) -> Floats:
    return np.stack([columns[name].reshape(-1).astype(np.float64) for name in names], axis=1)


def _header(data: bytes) -> tuple[dict[str, list[str]], int]:
    head: dict[str, list[str]] = {}
    at = 0
    while "DATA" not in head:
        end = data.find(b"\n", at, HEADER)
        if end < 0:
            raise Broken("its header has no DATA line")
        words = data[at:end].decode("ascii", "replace").split()
        at = end + 1
        if words and not words[0].startswith("#"):
            head[words[0]] = words[1:]
    missing = [name for name in ("FIELDS", "SIZE", "TYPE", "WIDTH", "HEIGHT", "POINTS") if not head.get(name)]
    if missing:
        raise Broken(f"its header has no {', '.join(missing)}")
    return head, at


def _fields(head: dict[str, list[str]]) -> list[tuple[str, np.dtype[Any]]]:
    """Each field's name and type; padding is called _ and may come several times."""
    names = head["FIELDS"]
    counts = _numbers(head.get("COUNT") or ["1"] * len(names))
    if not len(names) == len(head["SIZE"]) == len(head["TYPE"]) == len(counts):
        raise Broken("FIELDS, SIZE, TYPE and COUNT do not have the same length")
    found = []
    for name, size, letter, times in zip(names, _numbers(head["SIZE"]), head["TYPE"], counts, strict=True):
        if (letter, size) not in TYPES or not 0 < times <= 1 << 16:
            raise Broken(f"field {name!r} is {times} of type {letter[:8]!r} with {size} bytes")
        found.append((name, np.dtype(("<" + TYPES[letter, size], (times,)))))
    return found


def _numbers(words: list[str]) -> list[int]:
    if not all(word.isdecimal() and len(word) < 16 for word in words):
        raise Broken(f"its header has {' '.join(words)[:40]!r} where whole numbers should be")
    return [int(word) for word in words]


def _count(head: dict[str, list[str]], most: int) -> int:
    (width, *_), (height, *_), (count, *_) = (_numbers(head[name]) for name in ("WIDTH", "HEIGHT", "POINTS"))
    if width * height != count:
        raise Broken(f"its header says {count:,} points and {width:,} x {height:,}")
    if count > most:
        raise too_many(count, most)
    return count


def _text(body: bytes, fields: list[tuple[str, np.dtype[Any]]], count: int) -> dict[str, NDArray[Any]]:
    widths = [int(np.prod(kind.shape)) for _, kind in fields]
    lines = [line for line in body.splitlines() if line.strip()]
    if len(lines) != count or {len(line.split()) for line in lines} - {sum(widths)}:
        raise Broken(f"its header says {count:,} points of {sum(widths)} numbers, {len(lines):,} lines follow")
    table = numbers(body, "its data", count * sum(widths)).reshape(count, sum(widths))
    starts = np.cumsum([0, *widths])
    return {name: table[:, at] for (name, _), at in zip(fields, starts, strict=False)}


def _compressed(data: bytes, at: int, fields: list[tuple[str, np.dtype[Any]]], count: int) -> dict[str, NDArray[Any]]:
    if at + 8 > len(data):
        raise Broken("it ends before its data")
    packed, size = struct.unpack_from("<II", data, at)
    promised = count * sum(kind.itemsize for _, kind in fields)
    if size != promised or packed != len(data) - at - 8:
        there = f"{packed:,} bytes for {size:,}"
        raise Broken(
            f"its header promises {promised:,} bytes of points, its data {there}; {len(data) - at - 8:,} follow"
        )
    whole = lzf(data[at + 8 :], size)
    columns, start = dict[str, NDArray[Any]](), 0
    for name, kind in fields:
        columns[name] = np.frombuffer(whole, kind, count, start)[:, 0]
        start += count * kind.itemsize
    return columns


def lzf(packed: bytes, size: int) -> bytes:
    """Unpack LZF to exactly so many bytes."""
    out, at, end = bytearray(), 0, len(packed)
    while at < end:
        control = packed[at]
        at += 1
        if control < 32:  # that many bytes, and one, as they are
            out += packed[at : at + control + 1]
            at += control + 1
        else:  # what stood there before, once more
            length = control >> 5
            if length == 7:
                length += packed[at] if at < end else 0
                at += 1
            length += 2
            back = len(out) - ((control & 31) << 8) - (packed[at] if at < end else 0) - 1
            at += 1
            if back < 0:
                raise Broken(f"its LZF points before its beginning at byte {at} of the packed data")
            piece = out[back : back + length]
            out += piece if len(piece) == length else (piece * (length // len(piece) + 1))[:length]
        if len(out) > size:
            break
    if len(out) != size or at != end:
        raise Broken(f"its LZF unpacks to {len(out):,} bytes, {size:,} are promised")
    return bytes(out)
