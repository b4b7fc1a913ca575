"""PLY: a header that says what follows, then that, as text or binary. Nothing may be missing and nothing be left."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_3d.shape import Broken, Floats, Ints, Shape, fan, numbers, too_many

__all__ = ["parse"]

TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"}
TYPES |= {"double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"}
TYPES |= {"float32": "f4", "float64": "f8", "int64": "i8", "uint64": "u8"}
ENDS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
HEADER = 1 << 16  # no honest header is longer


@dataclass
class _Element:
    name: str
    count: int
    properties: list[tuple[str, str, str]] = field(default_factory=list)  # name, type, type of the count of a list
    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    lists: dict[str, tuple[Ints, Ints]] = field(default_factory=dict)  # all values one after another; how many each


def parse(data: bytes, most: int) -> Shape:
    encoding, elements, start = _header(data)
    for element in elements:
        if element.count > most:
            raise too_many(element.count, most)
    reader = _Text(data[start:]) if encoding == "ascii" else _Binary(data, start, ENDS[encoding])
    for element in elements:
        reader.read(element)
    reader.end()
    known = {element.name: element for element in elements}
    return _shape(known.get("vertex"), known.get("face"), known.get("tristrips"))


def _shape(vertex: _Element | None, face: _Element | None, strips: _Element | None) -> Shape:
    if vertex is None or not {"x", "y", "z"} <= vertex.values.keys():
        raise Broken("its header names no vertices with x, y and z")
    if strips is not None and strips.count:
        raise Broken("it has triangle strips", "export it with faces")
    shape = Shape(_columns(vertex, "x", "y", "z"))
    if face is not None and face.count:
        corners = face.lists.get("vertex_indices") or face.lists.get("vertex_index")
        if corners is None:
            raise Broken("its faces have no vertex_indices")
        if (corners[0] < 0).any() or (len(corners[0]) and corners[0].max() >= vertex.count):
            raise Broken(f"a face names a vertex that is not there; there are {vertex.count:,}")
        shape.faces = fan(*corners)
    elif {"nx", "ny", "nz"} <= vertex.values.keys():
        shape.normals = _columns(vertex, "nx", "ny", "nz")
    return shape


def _columns(element: _Element, *names: str) -> Floats:
    return np.stack([element.values[name].astype(np.float64) for name in names], axis=1)


def _header(data: bytes) -> tuple[str, list[_Element], int]:
    end = data.find(b"end_header", 0, HEADER)
    stop = data.find(b"\n", end) + 1 if end >= 0 else 0
    if not data.startswith(b"ply") or not stop or data[end + 10 : stop].strip():
        raise Broken("its header has no end")
    encoding, elements = "", list[_Element]()
    for line in data[:end].decode("ascii", "replace").splitlines()[1:]:
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                continue
            case ["format", name, "1.0"] if name in ENDS:
                encoding = name
            case ["element", name, count] if count.isdecimal() and len(count) < 16:
                elements.append(_Element(name, int(count)))
            case ["property", "list", count, kind, name] if {count, kind} <= TYPES.keys() and elements:
                elements[-1].properties.append((name.lower(), TYPES[kind], TYPES[count]))
            case ["property", kind, name] if kind in TYPES and elements:
                elements[-1].properties.append((name.lower(), TYPES[kind], ""))
            case _:
                raise Broken(f"its header has a line that PLY does not know: {line[:60]!r}")
    if not encoding:
        raise Broken("its header does not say its format")
    return encoding, elements, stop


class _Text:
    """The numbers of a text PLY, element by element."""

    def __init__(self, body: bytes) -> None:
        self.numbers: Floats = numbers(body, "its body")
        self.at = 0

    def read(self, element: _Element) -> None:
        if not any(count for _, _, count in element.properties):
            table = self._take(element, element.count * len(element.properties))
            rows = table.reshape(element.count, -1) if len(table) else table.reshape(0, len(element.properties))
            element.values = {name: rows[:, i] for i, (name, _, _) in enumerate(element.properties)}
        elif len(element.properties) == 1:
            element.lists[element.properties[0][0]] = self._lists(element)
        else:
            self._mixed(element)

    def _take(self, element: _Element, count: int) -> Floats:
        if count > len(self.numbers) - self.at:
            there = f"{len(self.numbers) - self.at:,} numbers are left"
            raise Broken(f"its header says {element.count:,} of {element.name!r}, {there}")
        self.at += count
        return self.numbers[self.at - count : self.at]

    def _lists(self, element: _Element) -> tuple[Ints, Ints]:
        """Lists of one length are a table; others are walked."""
        width = int(self.numbers[self.at]) + 1 if self.at < len(self.numbers) and self.numbers[self.at] >= 0 else 1
        if element.count * width <= len(self.numbers) - self.at:
            table = self.numbers[self.at : self.at + element.count * width].reshape(element.count, width)
            if (table[:, 0] == width - 1).all():
                self.at += table.size
                return _whole(table[:, 1:].ravel()), np.full(element.count, width - 1)
        self._mixed(element)
        return element.lists[element.properties[0][0]]

    def _mixed(self, element: _Element) -> None:
        found: dict[str, list[Floats]] = {name: [] for name, _, _ in element.properties}
        for _ in range(element.count):
            for name, _, counted in element.properties:
                size = self._take(element, 1)[0] if counted else 1
                if not (size >= 0 and size == int(size)):
                    raise Broken(f"a list of {element.name!r} has {size} values")
                found[name].append(self._take(element, int(size)))
        _keep(element, found)

    def end(self) -> None:
        if self.at != len(self.numbers):
            raise Broken(f"{len(self.numbers) - self.at:,} numbers more than its header says")


class _Binary:
    """The bytes of a binary PLY, element by element."""

    def __init__(self, data: bytes, at: int, order: str) -> None:
        self.data, self.at, self.order = data, at, order

    def read(self, element: _Element) -> None:
        sizes = [self._first(element, place) for place in range(len(element.properties))]
        kind = self._kind(element, sizes)
        need = element.count * kind.itemsize
        if not any(counted for _, _, counted in element.properties):
            table = np.frombuffer(self._take(element, need), kind)
            element.values = {name: table[f"v{i}"] for i, (name, _, _) in enumerate(element.properties)}
        elif need <= len(self.data) - self.at and self._even(element, kind, sizes):
            self.at += need
        else:
            self._mixed(element)

    def _kind(self, element: _Element, sizes: list[int]) -> np.dtype[Any]:
        """A record, if all lists were as long as the first."""
        fields: list[Any] = []
        for place, ((_, kind, counted), size) in enumerate(zip(element.properties, sizes, strict=True)):
            if counted:
                fields.append((f"n{place}", self.order + counted))
            fields.append((f"v{place}", self.order + kind, (size,)) if counted else (f"v{place}", self.order + kind))
        return np.dtype(fields)

    def _first(self, element: _Element, place: int) -> int:
        """How long the list of the first record is; lists after a list are walked."""
        before = element.properties[:place]
        if not element.properties[place][2] or not element.count or any(counted for _, _, counted in before):
            return 0
        at = self.at + sum(np.dtype(kind).itemsize for _, kind, _ in before)
        kind = np.dtype(self.order + element.properties[place][2])
        if at + kind.itemsize > len(self.data):
            return 0
        return min(max(int(np.frombuffer(self.data, kind, 1, at)[0]), 0), 64)

    def _even(self, element: _Element, kind: np.dtype[Any], sizes: list[int]) -> bool:
        table = np.frombuffer(self.data, kind, element.count, self.at)
        for place, (name, _, counted) in enumerate(element.properties):
            if not counted:
                element.values[name] = table[f"v{place}"]
            elif (table[f"n{place}"] == sizes[place]).all():
                element.lists[name] = _whole(table[f"v{place}"].ravel()), np.full(element.count, sizes[place])
            else:
                return False
        return True

    def _take(self, element: _Element, size: int) -> bytes:
        if size > len(self.data) - self.at:
            there = f"{len(self.data) - self.at:,} bytes are left at byte {self.at}"
            raise Broken(f"its header says {element.count:,} of {element.name!r}, {there}")
        self.at += size
        return self.data[self.at - size : self.at]

    def _mixed(self, element: _Element) -> None:
        kinds = [
            (name, np.dtype(self.order + kind), np.dtype(self.order + counted) if counted else None)
            for name, kind, counted in element.properties
        ]
        found: dict[str, list[Floats]] = {name: [] for name, _, _ in element.properties}
        for _, (name, kind, counted) in itertools.product(range(element.count), kinds):
            size = int(np.frombuffer(self._take(element, counted.itemsize), counted)[0]) if counted else 1
            if size < 0:
                raise Broken(f"a list of {element.name!r} before byte {self.at} has {size} values")
            found[name].append(np.frombuffer(self._take(element, size * kind.itemsize), kind))
        _keep(element, found)

    def end(self) -> None:
        if self.data[self.at :].strip():
            raise Broken(f"{len(self.data) - self.at:,} bytes more than its header says, from byte {self.at}")


def _keep(element: _Element, found: dict[str, list[Floats]]) -> None:
    for name, _, counted in element.properties:
        flat = np.concatenate(found[name]) if found[name] else np.zeros(0)
        if counted:
            element.lists[name] = _whole(flat), np.array(list(map(len, found[name])), dtype=np.int64)
        else:
            element.values[name] = flat


def _whole(values: NDArray[Any]) -> Ints:
    """Values as whole numbers. -1 for what is none: no vertex has that number, and of other lists nobody asks."""
    if values.dtype.kind == "f":
        values = np.where(np.abs(values) < 2**53, np.where(values == np.floor(values), values, -1), -1)
    return values.astype(np.int64)
