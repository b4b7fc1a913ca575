"""Modalities: the array signature a Format decodes to and a Base accepts.

A Modality is a value. The usual ones are below. A plugin that needs another writes it down and declares a Format or a
Base with it; two plugins meet by writing the same name and the same arrays, and the catalog reports the ones that
disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["FRAMES", "IMAGE", "POINTS", "STRUCTURE", "TEXT", "VOLUME", "Array", "Modality"]


@dataclass(frozen=True)
class Array:
    """One array of a sample: `Array("frames", "uint8", ("time", "height", "width", "channel"))`."""

    name: str
    dtype: str  # a numpy dtype's name, or "str" for a Python string
    dims: tuple[str, ...] = ()

    def problem(self, value: Any) -> str:
        """What is wrong with a value as this array, or nothing."""
        if self.dtype == "str":
            return "" if isinstance(value, str) else f"{self.name} should be a str, not {type(value).__name__}"
        shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
        if shape is None or str(dtype) != self.dtype or len(shape) != len(self.dims):
            found = type(value).__name__ if shape is None else f"{dtype}{list(shape)}"
            return f"{self.name} should be {self.dtype}[{', '.join(self.dims)}], not {found}"
        return ""


@dataclass(frozen=True)
class Modality:
    """A named set of arrays."""

    name: str
    arrays: tuple[Array, ...]
    summary: str = ""

    def problems(self, sample: Mapping[str, Any]) -> list[str]:
        """Everything that keeps a sample from being one of this modality."""
        missing = [f"{array.name} is missing" for array in self.arrays if array.name not in sample]
        wrong = [array.problem(sample[array.name]) for array in self.arrays if array.name in sample]
        return missing + [problem for problem in wrong if problem]

    def agrees(self, other: Modality) -> bool:
        return self.name == other.name and self.arrays == other.arrays


TEXT = Modality("text", (Array("text", "str"),), "one piece of text")

IMAGE = Modality("image", (Array("pixels", "uint8", ("height", "width", "channel")),), "one picture: RGB, upright")

FRAMES = Modality(
    "frames",
    (Array("frames", "uint8", ("time", "height", "width", "channel")),),
    "pictures of one size in the order of time: RGB, upright",
)

VOLUME = Modality(
    "volume",
    (Array("voxels", "float32", ("depth", "height", "width")), Array("spacing", "float32", ("axis",))),
    "values in space, and the millimetres between them in the order of the dimensions",
)

STRUCTURE = Modality(
    "structure",
    (
        Array("sequence", "str"),  # one letter a residue, X where it has none
        Array("backbone", "float32", ("residue", "atom", "xyz")),  # N, CA, C, O in Angstrom; NaN where there is none
        Array("chain", "int32", ("residue",)),  # 0, 1, 2 ... in the order of the chains
        Array("number", "int32", ("residue",)),  # as its author counted
        Array("atoms", "float32", ("place", "xyz")),  # every heavy atom of the residues
        Array("element", "uint8", ("place",)),  # atomic numbers
        Array("residue", "int32", ("place",)),  # which residue an atom belongs to
    ),
    "residues and their atoms; a sequence alone has no coordinates",
)

POINTS = Modality(
    "points",
    (Array("points", "float32", ("point", "xyz")), Array("normals", "float32", ("point", "xyz"))),
    "points of a surface and the directions it faces there: (0, 0, 0) where that is not known",
)
