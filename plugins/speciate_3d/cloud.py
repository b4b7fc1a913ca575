"""Clouds of points: XYZ, which is nothing but lines of numbers, and LAS, what laser scanners write."""

from __future__ import annotations

import importlib.util
import io
import re
import struct
from typing import Any

import numpy as np

from speciate_3d.shape import Broken, Floats, Shape, numbers, too_many

__all__ = ["las", "laz", "xyz"]

MARKS = bytes.maketrans(b",;", b"  ")
NUMBER = re.compile(rb"[-+.\d]")
RECORDS = {0: 20, 1: 28, 2: 26, 3: 34, 4: 57, 5: 63, 6: 30, 7: 36, 8: 38, 9: 59, 10: 67}  # bytes a point, at least
PACKED = 0x80  # this bit of the point format says that it is LAZ


def xyz(data: bytes, most: int) -> Shape:
    """x, y, z a line; of six numbers the last three are normals where they have length 1, else colours."""
    if b"\0" in data:
        raise Broken("it has NUL bytes in it: it is no text")
    lines = [
        line
        for line in data.translate(MARKS).splitlines()
        if line.strip() and not line.lstrip().startswith((b"#", b"//"))
    ]
    promised = -1
    if lines and lines[0].strip().isdigit():
        promised = int(lines.pop(0)[:18])
    elif lines and not NUMBER.match(lines[0].lstrip()):
        lines.pop(0)  # names of columns
    _check_lines(lines, promised, most)
    width = len(lines[0].split())
    table = numbers(b" ".join(lines), "a point", width * len(lines)).reshape(-1, width)
    shape = Shape(table[:, :3])
    if width >= 6:
        lengths = np.sqrt((table[:, 3:6] ** 2).sum(axis=1))
        shape.normals = table[:, 3:6] if np.abs(lengths - 1).max() < 0.01 else None
    _check_end(data, lines)
    return shape


def _check_lines(lines: list[bytes], promised: int, most: int) -> None:
    if not lines:
        raise Broken("it has no points")
    if len(lines) > most:
        raise too_many(len(lines), most)
    if promised >= 0 and len(lines) != promised:
        do = "if it holds atoms, it is chemistry's XYZ: leave it out; else copy it again"
        raise Broken(f"its first line says {promised:,} points, {len(lines):,} follow", do)
    widths = set(map(len, map(bytes.split, lines)))
    if len(widths) > 1 or min(widths) < 3:
        first = len(lines[0].split())
        bad = next(i for i, line in enumerate(lines) if len(line.split()) != first or first < 3)
        raise Broken(f"point {bad + 1} has {len(lines[bad].split())} numbers, the first one {first}")


def _check_end(data: bytes, lines: list[bytes]) -> None:
    """A last line without an end, shorter than every other, is a cut: there is no count that would tell."""
    if not data.endswith((b"\n", b"\r")) and len(lines) > 2 and len(lines[-1]) < min(map(len, lines[:-1])):
        do = "copy it again; if it is whole, end its last line"
        raise Broken("its last line has no end and is shorter than all others: it is cut off", do)


def las(data: bytes, most: int) -> Shape:
    """The places of a LAS file: whole numbers with a scale and an offset."""
    head = _las_header(data)
    if head["format"] & PACKED:
        raise Broken("its points are packed: it is LAZ", "give it the suffix .laz")
    start, count, size = head["start"], head["count"], head["size"]
    if start + count * size > len(data):
        raise Broken(f"its header says {count:,} points of {size} bytes from byte {start}, it ends at {len(data):,}")
    if count > most:
        raise too_many(count, most)
    if head["minor"] < 3 and start + count * size != len(data):
        raise Broken(f"{len(data) - start - count * size:,} bytes more than its header says")
    raw: Any = np.ndarray((count, 3), "<i4", data, start, (size, 4))
    return _within(raw * np.array(head["scale"]) + np.array(head["offset"]), head)


def _within(places: Floats, head: dict[str, Any]) -> Shape:
    """The header's bounds are true, but for rounding: a changed scale or point shows here."""
    low, high = np.array(head["bounds"][1::2]), np.array(head["bounds"][::2])
    room = np.maximum(np.abs(np.array(head["scale"])), 1e-6 * np.maximum(np.abs(low), np.abs(high)))
    if len(places) and ((places.min(axis=0) < low - room) | (places.max(axis=0) > high + room)).any():
        raise Broken("its points lie outside the bounds that its header says")
    return Shape(places)


def _las_header(data: bytes) -> dict[str, Any]:
    if len(data) < 227 or data[:4] != b"LASF":
        raise Broken("it does not begin with a LAS header")
    minor, kind = data[25], data[104]
    (start,), (size,), (count,) = (struct.unpack_from(k, data, at) for k, at in (("<I", 96), ("<H", 105), ("<I", 107)))
    if minor >= 4 and len(data) >= 375:
        (count,) = struct.unpack_from("<Q", data, 247)
    least = RECORDS.get(kind & 0x3F)
    if data[24] != 1 or least is None or size < least or start < 227:
        raise Broken(
            f"its header says version {data[24]}.{minor}, points of format {kind} with {size} bytes at {start}"
        )
    numbers_ = struct.unpack_from("<12d", data, 131)
    if not np.isfinite(numbers_).all() or not all(numbers_[:3]):
        raise Broken("its scale, offset or bounds are no numbers")
    return {
        **{"format": kind, "start": start, "size": size, "count": count, "minor": minor},
        **{"scale": numbers_[:3], "offset": numbers_[3:6], "bounds": numbers_[6:]},
    }


def laz(data: bytes, most: int) -> Shape:
    """A packed LAS, through laspy."""
    head = _las_header(data)
    if not head["format"] & PACKED:
        return las(data, most)
    if importlib.util.find_spec("laspy") is None or importlib.util.find_spec("lazrs") is None:
        raise Broken(
            "LAZ needs laspy and lazrs, which this environment does not have", 'type `pip install "speciate[3d]"`'
        )
    if head["count"] > most:
        raise too_many(head["count"], most)
    import laspy

    with laspy.open(io.BytesIO(data)) as file:
        points = file.read_points(head["count"])
    if len(points) != head["count"]:
        raise Broken(f"its header says {head['count']:,} points, it has {len(points):,}")
    return _within(np.stack([points.x, points.y, points.z], axis=1).astype(np.float64), head)
