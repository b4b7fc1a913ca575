"""What every kind of file is parsed to: vertices, triangles and what the file says; and how parsers complain."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["LARGEST", "Broken", "Floats", "Ints", "Shape", "fan", "indexes", "joined", "numbers", "too_many", "values"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PIECE = 1 << 22  # bytes of text whose words are in memory at once
BLANK = re.compile(rb"\s")
LARGEST = 1e12  # no thing is that large in any unit: a coordinate beyond it is damage


class Broken(Exception):
    """What is wrong with a file's content, and what to do about it."""

    def __init__(self, why: str, do: str = "export or copy it again") -> None:
        super().__init__(why)
        self.why, self.do = why, do


def _no_faces() -> Ints:
    return np.zeros((0, 3), dtype=np.int64)


@dataclass
class Shape:
    """A mesh, or a cloud of points where there are no faces."""

    vertices: Floats
    faces: Ints = field(default_factory=_no_faces)
    normals: Floats | None = None  # of a cloud's points
    parts: int = 1  # meshes in the scene
    unit: float = 0.0  # metres, where the file says so
    up: str = "z"  # as it is usual for its kind
    invalid: int = 0  # points that are no numbers and were left out, as PCD has them
    materials: int = 0

    def check(self, most: int) -> Shape:
        """Refuse what is no shape; leave out the points of a cloud that are no numbers."""
        if len(self.faces):
            self._check_faces()
        elif not len(self.vertices):
            raise Broken("it has neither faces nor points")
        if max(len(self.vertices), len(self.faces)) > most:
            raise too_many(max(len(self.vertices), len(self.faces)), most)
        self._check_numbers()
        return self

    def _check_faces(self) -> None:
        low, high = int(self.faces.min()), int(self.faces.max())
        if low < 0 or high >= len(self.vertices):
            bad = int(np.flatnonzero(((self.faces < 0) | (self.faces >= len(self.vertices))).any(axis=1))[0])
            there = f"there are {len(self.vertices):,} vertices"
            raise Broken(f"triangle {bad} names vertex {high if high >= len(self.vertices) else low}, {there}")

    def _check_numbers(self) -> None:
        if self._reach() <= LARGEST:  # so it is a number, and all of them are
            return
        finite = np.asarray(np.isfinite(self.vertices).all(axis=1))
        bad = len(finite) - int(finite.sum())
        if bad and (len(self.faces) or bad == len(finite)):
            first = int(np.flatnonzero(~finite)[0])
            raise Broken(f"{bad:,} of {len(finite):,} vertices are NaN or infinite, the first is {first}", "mend it")
        if bad:
            self.vertices, self.invalid = self.vertices[finite], bad
            self.normals = self.normals[finite] if self.normals is not None else None
        if (largest := self._reach()) > LARGEST:
            raise Broken(f"a coordinate is {largest:.3g}; more than {LARGEST:.0e} is taken for damage")

    def _reach(self) -> float:
        """The largest coordinate, whatever its sign."""
        return max(float(self.vertices.max()), -float(self.vertices.min()))


def too_many(count: int, most: int) -> Broken:
    do = "split it, make it simpler, or type -o most=NUMBER"
    return Broken(f"it has {count:,} vertices, faces or points; the limit is {most:,}", do)


def numbers(text: bytes, what: str, count: int = -1) -> Floats:
    """Numbers between blanks, as many as promised."""
    return _numbers(text, what, count, np.float64)


def indexes(text: bytes, what: str, count: int = -1) -> Ints:
    """Whole numbers between blanks, as many as promised."""
    return _numbers(text, what, count, np.int64)


def _numbers(text: bytes, what: str, count: int, dtype: Any) -> NDArray[Any]:
    read = _as_c_does if dtype is np.int64 and b"x" in text.lower() else _values  # for Arrow 0x10 is a number
    parts, at = [], 0
    while at < len(text):
        blank = BLANK.search(text, at + PIECE)
        end = blank.end() if blank else len(text)
        parts.append(read(text[at:end].split(), what, dtype))
        at = end
    found = np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
    if count >= 0 and len(found) != count:
        raise Broken(f"{what} holds {len(found):,} numbers, {count:,} are promised")
    return found


def values(words: Sequence[bytes], what: str) -> Floats:
    """Words as numbers."""
    return _values(words, what, np.float64)


def _values(words: Sequence[bytes], what: str, dtype: Any) -> NDArray[Any]:
    """As Arrow reads them, in a quarter of the time that C takes, or as C does where Arrow does not: +1, 1e999."""
    try:
        kind = pa.from_numpy_dtype(dtype)
        found: NDArray[Any] = pc.cast(pa.array(words, pa.string()), kind).to_numpy(zero_copy_only=False)
        return found
    except ValueError:
        return _as_c_does(words, what, dtype)


def _as_c_does(words: Sequence[bytes], what: str, dtype: Any) -> NDArray[Any]:
    try:
        return np.fromstring(b" ".join(words), dtype=dtype, sep=" ") if words else np.zeros(0, dtype=dtype)
    except ValueError:
        raise Broken(f"{what} holds {_strange(words)!r}, which is no number") from None


def _strange(words: Sequence[bytes]) -> str:
    for token in words:
        try:
            float(token)
        except ValueError:
            return token[:20].decode("ascii", "replace")
    return "a fraction"


def fan(corners: Ints, counts: Ints) -> Ints:
    """Polygons as triangles, from the corners of all one after another and how many each has; two corners give none."""
    if (counts == 3).all():
        return corners.reshape(-1, 3)
    triangles = np.maximum(counts - 2, 0)
    owner = np.repeat(np.arange(len(counts)), triangles)
    step = np.arange(int(triangles.sum())) - np.repeat(np.cumsum(triangles) - triangles, triangles)
    first = (np.cumsum(counts) - counts)[owner]
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)


def joined(shapes: list[Shape]) -> Shape:
    """Meshes of one scene as one."""
    if not shapes:
        raise Broken("its scene shows nothing")
    meshes = [shape for shape in shapes if len(shape.faces)] or shapes  # points and lines beside a mesh are marks
    starts = np.cumsum([0, *(len(shape.vertices) for shape in meshes)])
    faces = [shape.faces + start for shape, start in zip(meshes, starts, strict=False)]
    return Shape(np.concatenate([shape.vertices for shape in meshes]), np.concatenate(faces), parts=len(meshes))
