"""A structure in its one form: residues and their heavy atoms as arrays, and the bytes they are stored as.

The bytes hold what `decode` gives and nothing else. So a structure is the same row whether it came as PDB, mmCIF or
BinaryCIF, packed or not, read by one library or another; and decoding is a few slices that need no parser.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError

__all__ = ["BACKBONE", "Structure", "concatenate", "letters_of", "pack", "unpack"]

MAGIC = b"speciate structure 1\n"
COUNTS = struct.Struct("<QQ")
BACKBONE = ("N", "CA", "C", "O")
PARTS = (  # how the arrays lie behind each other: name, type, numbers for each, and what there is one of each for
    ("number", "<i4", 1, "residue"),
    ("chain", "<i4", 1, "residue"),
    ("backbone", "<i4", 4, "residue"),  # places of N, CA, C and O; -1 where there is none
    ("residue", "<i4", 1, "place"),
    ("atoms", "<f4", 3, "place"),
    ("element", "u1", 1, "place"),
    ("letters", "u1", 1, "residue"),
)


@dataclass(frozen=True)
class Structure:
    """Residues in the order of the file, atoms in the order of the residues."""

    letters: NDArray[np.uint8]  # of the sequence, in ASCII
    number: NDArray[np.int32]
    chain: NDArray[np.int32]
    backbone: NDArray[np.int32]
    atoms: NDArray[np.float32]
    element: NDArray[np.uint8]
    residue: NDArray[np.int32]
    inserted: NDArray[np.bytes_]  # insertion codes; not stored, like all that follows
    asym: NDArray[np.bytes_]  # what assemblies call a residue's chain
    names: tuple[str, ...] = ()  # of the chains
    facts: dict[str, Any] = field(default_factory=dict)

    def take(self, residues: NDArray[np.int64]) -> Structure:
        """Some of the residues, in the given order, with their atoms; chains are counted anew."""
        counts = np.bincount(self.residue, minlength=len(self.letters))
        first = np.cumsum(counts) - counts
        many = counts[residues]
        start = np.cumsum(many) - many
        places = np.repeat(first[residues] - start, many) + np.arange(many.sum())
        shift = (start - first[residues])[:, None]
        backbone = np.where(self.backbone[residues] < 0, -1, self.backbone[residues] + shift)
        used, chain = np.unique(self.chain[residues], return_inverse=True)
        return replace(
            self,
            **{name: getattr(self, name)[residues] for name in ("letters", "number", "inserted", "asym")},
            chain=chain.astype(np.int32),
            backbone=backbone.astype(np.int32),
            atoms=self.atoms[places],
            element=self.element[places],
            residue=np.repeat(np.arange(len(residues)), many).astype(np.int32),
            names=tuple(self.names[i] for i in used),
        )


def concatenate(parts: list[Structure]) -> Structure:
    """Structures one behind another; each keeps its own chains."""
    places = np.cumsum([0, *(len(part.atoms) for part in parts)])
    residues = np.cumsum([0, *(len(part.letters) for part in parts)])
    chains = np.cumsum([0, *(len(part.names) for part in parts)])
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("letters", "number", "atoms", "element", "inserted", "asym")
    }
    moved = {
        "chain": [part.chain + n for part, n in zip(parts, chains, strict=False)],
        "residue": [part.residue + n for part, n in zip(parts, residues, strict=False)],
        "backbone": [
            np.where(part.backbone < 0, -1, part.backbone + n) for part, n in zip(parts, places, strict=False)
        ],
    }
    names = tuple(name for part in parts for name in part.names)
    joined |= {name: np.concatenate(arrays).astype(np.int32) for name, arrays in moved.items()}
    return Structure(**joined, names=names, facts=parts[0].facts)


def pack(structure: Structure) -> bytes:
    """The bytes of a structure: they name it, so nothing of the file or of a compression is in them."""
    parts = [np.ascontiguousarray(getattr(structure, name), kind).tobytes() for name, kind, _, _ in PARTS]
    return MAGIC + COUNTS.pack(len(structure.letters), len(structure.atoms)) + b"".join(parts)


def unpack(data: bytes) -> Sample:
    """The arrays of the modality STRUCTURE."""
    arrays = _arrays(data)
    places, atoms = arrays.pop("backbone"), arrays["atoms"]
    known = places >= 0
    backbone = np.full((*places.shape, 3), np.nan, np.float32)
    backbone[known] = atoms[places[known]]
    return {"sequence": arrays.pop("letters").tobytes().decode("ascii"), "backbone": backbone, **arrays}


def _arrays(data: bytes) -> dict[str, NDArray[Any]]:
    """The parts of the bytes, checked: a client may send anything."""
    head = len(MAGIC) + COUNTS.size
    if bytes(data[: len(MAGIC)]) != MAGIC or len(data) < head:  # a loader gives a memoryview
        raise _strange("it does not begin like one")
    counts = dict(zip(("residue", "place"), COUNTS.unpack_from(data, len(MAGIC)), strict=True))
    sizes = [np.dtype(kind).itemsize * many * counts[what] for _, kind, many, what in PARTS]
    if len(data) != head + sum(sizes):
        raise _strange(f"it has {len(data):,} bytes, and its counts ask for {head + sum(sizes):,}")
    arrays: dict[str, NDArray[Any]] = {}
    for (name, kind, many, what), size in zip(PARTS, sizes, strict=True):
        part = np.frombuffer(data, kind, counts[what] * many, head).astype(np.dtype(kind).newbyteorder("="))
        arrays[name] = part.reshape(counts[what], many) if many > 1 else part
        head += size
    inside = {"residue": counts["residue"], "backbone": counts["place"]}
    if any(len(arrays[name]) and arrays[name].max() >= most for name, most in inside.items()):
        raise _strange("it points at residues or atoms that it does not have")
    if (len(arrays["residue"]) and arrays["residue"].min() < 0) or (arrays["letters"] > 127).any():
        raise _strange("it points at residues or atoms that it does not have")
    return arrays


def _strange(why: str) -> SpeciateError:
    do = "send a file to the endpoint, or the column `structure` of a row that was read"
    return SpeciateError("these bytes are no stored structure", why, do)


def letters_of(data: bytes) -> NDArray[np.uint8]:
    """Only the sequence, which lies at the end of the bytes."""
    residues, _ = COUNTS.unpack_from(data, len(MAGIC))
    return np.frombuffer(data, np.uint8)[len(data) - residues :]
