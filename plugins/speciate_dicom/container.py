"""A volume as one file: planes in a safetensors file, written one after another and read where they are needed.

`voxels` are the stored values; `slope` and `intercept` give each plane its unit, `place` says where it is along the
normal, `floor` is the lowest value that is no padding. Any safetensors library opens it; nothing in it says whose
volume it is.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from speciate import SpeciateError

__all__ = ["Volume", "Writer"]

DTYPES = {"U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "F32": "<f4", "F64": "<f8"}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
SMALL = ("slope", "intercept", "place", "floor")
MOST_HEAD = 1 << 20
Shape = tuple[int, int, int]


class Writer:
    """Takes planes in any order; the first one decides their size and type."""

    def __init__(self, path: Path, depth: int, facts: Mapping[str, str]) -> None:
        self.path, self._facts = path, facts
        self._file = path.open("wb")
        self._small = np.full((3, depth), np.nan)
        self._like: tuple[Any, tuple[int, ...]] | None = None
        self._start, self._floor = 0, np.inf
        self._void = [int(part) for part in facts["void"].split(",")] if facts.get("void") else []

    def put(self, number: int, array: NDArray[Any], scale: tuple[float, float], place: float) -> None:
        """One plane of stored values."""
        depth = self._small.shape[1]
        if self._like is None:
            self._like = (array.dtype, array.shape)
            self._start = self._file.write(_head(array.dtype, (depth, *array.shape), self._facts))
        if self._like != (array.dtype, array.shape):
            raise SpeciateError("the planes of this series differ", "in size or in bits", "sort them apart")
        self._file.seek(self._start + 8 * (3 * depth + 1) + number * array.nbytes)
        self._file.write(np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).data)
        self._small[:, number] = (*scale, place)
        if self._void:
            values = array[(array < self._void[0]) | (array > self._void[1])]
            if values.size:
                ends = (float(end) * scale[0] + scale[1] for end in (values.min(), values.max()))
                self._floor = min(self._floor, *ends)

    def leave(self) -> None:
        """Let go of the file, whole or not."""
        self._file.close()

    def close(self) -> None:
        """Once every plane is there."""
        with self._file:
            if np.isnan(self._small).any():
                missing = int(np.isnan(self._small[0]).sum())
                raise SpeciateError(f"{missing} planes are missing", "", "add the series again")
            self._file.seek(self._start)
            self._file.write(self._small.astype("<f8").tobytes())
            self._file.write(np.array(self._floor if np.isfinite(self._floor) else 0.0, dtype="<f8").tobytes())


def _head(dtype: Any, shape: Sequence[int], facts: Mapping[str, str]) -> bytes:
    """The header of a safetensors file, padded so that what follows is aligned."""
    depth, size = shape[0], int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    ends = [8 * depth, 16 * depth, 24 * depth, 24 * depth + 8]
    tensors: dict[str, Any] = {"__metadata__": dict(facts)}
    for name, end, length in zip(SMALL, ends, (depth, depth, depth, 1), strict=True):
        tensors[name] = {"dtype": "F64", "shape": [length], "data_offsets": [end - 8 * length, end]}
    offsets = [ends[-1], ends[-1] + size]
    tensors["voxels"] = {"dtype": NAMES[dtype.newbyteorder("<")], "shape": list(shape), "data_offsets": offsets}
    text = json.dumps(tensors).encode()
    text += b" " * (-(len(text) + 8) % 64)
    return struct.pack("<Q", len(text)) + text


class Volume:
    """A volume file, of which only the planes that are asked for are read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > MOST_HEAD:
                raise SpeciateError(f"{path.name} is no volume", "its header is too long", "add the series again")
            tensors = json.loads(file.read(length))
            self.facts: dict[str, str] = tensors["__metadata__"]
            voxels = tensors["voxels"]
            self.shape = cast(Shape, tuple(voxels["shape"]))
            self.dtype = np.dtype(DTYPES[voxels["dtype"]])
            depth = self.shape[0]
            self._start = 8 + length + voxels["data_offsets"][0]
            small = np.frombuffer(file.read(8 * (3 * depth + 1)), dtype="<f8")
        self.slope, self.intercept, self.place = small[: 3 * depth].reshape(3, depth)
        self.floor = float(small[-1])

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between planes, rows and columns."""
        depth, height, width = (float(part) for part in self.facts["spacing"].split(","))
        return depth, height, width

    def most(self, number: int) -> float:
        """No value of this plane is larger, either way; infinite where they are no whole numbers."""
        slope, intercept = float(self.slope[number]), float(self.intercept[number])
        if self.dtype.kind not in "iu" or not (slope.is_integer() and intercept.is_integer()):
            return math.inf
        ends = np.iinfo(self.dtype)
        return max(abs(int(ends.min)), int(ends.max)) * abs(slope) + abs(intercept)

    def plane(self, number: int) -> NDArray[np.float32]:
        """One plane in its unit, with the lowest value where there is no picture."""
        height, width = self.shape[1:]
        with self.path.open("rb") as file:
            file.seek(self._start + number * height * width * self.dtype.itemsize)
            array = np.fromfile(file, dtype=self.dtype, count=height * width).reshape(height, width)
        values = array.astype(np.float32)
        if (self.slope[number], self.intercept[number]) != (1.0, 0.0):
            values *= np.float32(self.slope[number])
            values += np.float32(self.intercept[number])
        if self.facts.get("void"):
            low, high = (int(part) for part in self.facts["void"].split(","))
            values[(array >= low) & (array <= high)] = self.floor
        return values
