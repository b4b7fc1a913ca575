"""PDB files: eighty columns a line. Which lines are atoms is decided here; a library turns their columns into numbers.

Every ATOM and HETATM of the chosen model has to come out: a library that leaves out what it does not like, as
biopython does when it is permissive, would shorten a structure in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_pdb.columns import coordinates, plain, whole_numbers
from speciate_pdb.table import Atoms, Broken

__all__ = ["Columns", "PDBFile"]

WIDTH = 80
SHORTEST = 54  # columns, up to the end of the coordinates
DOTS = [34, 42, 50]  # where their decimal points are
Bytes = NDArray[np.uint8]
Columns = Callable[[Bytes], tuple[NDArray[np.float64], NDArray[np.float64]]]  # atom lines: coordinates, occupancies
KNOWN = frozenset(
    b"HEADER OBSLTE TITLE SPLIT CAVEAT COMPND SOURCE KEYWDS EXPDTA NUMMDL MDLTYP AUTHOR REVDAT SPRSDE JRNL REMARK "
    b"DBREF DBREF1 DBREF2 SEQADV SEQRES MODRES HET HETNAM HETSYN FORMUL HELIX SHEET TURN SSBOND LINK HYDBND SLTBRG "
    b"CISPEP SITE CRYST1 ORIGX1 ORIGX2 ORIGX3 SCALE1 SCALE2 SCALE3 MTRIX1 MTRIX2 MTRIX3 TVECT MODEL ATOM ANISOU TER "
    b"HETATM ENDMDL CONECT MASTER END SIGATM SIGUIJ LINKR USER TITL FTNOTE".split()
)
ENDS = (b"END", b"ENDMDL")


@dataclass
class PDBFile:
    """The lines of a file and where its models begin."""

    data: bytes

    def __post_init__(self) -> None:
        if b"\n" not in self.data:
            self.data = self.data.replace(b"\r", b"\n")
        if b"\0" in self.data:
            raise Broken(f"it is no text: byte {self.data.index(0)} is zero")
        self._returns = b"\r" in self.data  # as Windows ends its lines
        self._bytes = np.frombuffer(self.data + b" " * WIDTH, np.uint8)
        ends = np.flatnonzero(self._bytes[: len(self.data)] == 10)
        ends = ends if self.data.endswith(b"\n") else np.append(ends, len(self.data))
        self._start = np.concatenate([[0], ends[:-1] + 1]).astype(np.int64)
        self._end = ends
        heads = self._lines(np.arange(len(ends)), 6)
        self._head = np.char.rstrip(np.ascontiguousarray(heads).view("S6")[:, 0])
        self._line = np.flatnonzero((self._head == b"ATOM") | (self._head == b"HETATM"))
        if not len(self._line):
            raise Broken(f"no line of its {len(ends):,} begins with ATOM or HETATM")
        self._check()
        self._model = self._models()

    @property
    def models(self) -> int:
        return int(self._model[-1]) + 1 if len(self._model) else 0

    def atoms(self, model: int, most: int, columns: Columns) -> Atoms:
        """The atoms of one model, by its place in the file."""
        lines = self._line[slice(*np.searchsorted(self._model, [model, model + 1]))]
        if len(lines) > most:
            raise Broken(f"it has {len(lines):,} atoms, more than {most:,}; type -o max_atoms=N if that is right")
        text = self._lines(lines, WIDTH)
        self._check_lines(text, lines)
        where = f"line {lines[0] + 1} and after"
        xyz, occupancy = _numbers(text, lines, columns)
        if len(xyz) != len(lines):
            raise Broken(f"{len(lines):,} atoms are in the file ({where}), but {len(xyz):,} came out of it")
        number, inserted = whole_numbers(text[:, 22:27], lines)
        part, polymer = self._parts(lines, text)
        chain = _text(text, 21, 22)
        if (chain == b"").any():
            chain = np.where(chain == b"", _text(text, 72, 76), chain)  # force fields name segments instead
        return Atoms(
            xyz=xyz,
            occupancy=occupancy,
            number=number,
            inserted=inserted,
            name=_text(text, 12, 16, strip=False),
            altloc=_text(text, 16, 17),
            residue=_text(text, 17, 20),
            chain=chain,
            part=part,
            asym=chain,
            symbol=_text(text, 76, 78),
            polymer=polymer,
        )

    def records(self, name: bytes, number: bytes = b"") -> list[bytes]:
        """The lines of a record that is not an atom; of a REMARK those with this number."""
        found = np.flatnonzero(self._head == name)
        if number and len(found):
            found = found[np.ascontiguousarray(self._lines(found, 10)[:, 7:]).view("S3")[:, 0] == number]
        return [self.data[self._start[i] : self._end[i]].rstrip() for i in found.tolist()]

    def _lines(self, which: NDArray[np.int64], width: int) -> Bytes:
        """The first columns of lines, filled up with spaces."""
        window: Bytes = np.ndarray((len(self._bytes) - width + 1, width), np.uint8, self._bytes, strides=(1, 1))
        found = window[self._start[which]]
        length = self._end[which] - self._start[which]
        short = np.flatnonzero(length < width)
        if len(short):
            part = found[short]
            part[np.arange(width) >= length[short][:, None]] = 32
            found[short] = part
        if self._returns:
            found[found == 13] = 32
        return found

    def _models(self) -> NDArray[np.int64]:
        """The model of each atom: MODEL begins one, so does an atom behind ENDMDL or END."""
        stops = self._head == b"MODEL"
        for name in ENDS:
            stops |= self._head == name
        after = np.cumsum(stops)[self._line]
        return np.cumsum(np.append(False, after[1:] != after[:-1]))

    def _check(self) -> None:
        """A line between atoms that nobody knows was an atom before the file was damaged; a file that says how many
        atoms and models it has, or that it has an end, has them."""
        first, last = self._line[0], self._line[-1]
        others = np.ones(last - first, dtype=bool)
        others[self._line[:-1] - first] = False
        names, which = np.unique(self._head[first:last][others], return_index=True)
        for name, at in zip(names.tolist(), np.flatnonzero(others)[which].tolist(), strict=True):
            if name and name not in KNOWN:
                text = name.decode("ascii", "backslashreplace")
                raise Broken(f"line {first + at + 1} between atoms begins with {text!r}, which is no record")
        models, said = int((self._head == b"MODEL").sum()), self._counted(b"NUMMDL", 6, 80)
        ended = np.isin(self._head[last:], ENDS).any()
        if models and said not in (None, models) and not (ended and models == 1):  # one taken out of several is whole
            raise Broken(f"it announces {said} models and has {models}")
        atoms, counted = len(self._line), self._counted(b"MASTER", 50, 55)
        if counted is not None and atoms < counted != atoms * (said or 1):  # some leave alternate locations uncounted
            raise Broken(f"its MASTER record counts {counted:,} atoms, the file has {atoms:,}")
        closed = int((self._head == b"ENDMDL").sum())
        if models > closed and (closed or not ended):
            raise Broken(f"it is cut off: of its {models} models only {closed} have an ENDMDL")
        if not ended and (self._head == b"SEQRES").any():
            raise Broken(f"it is cut off after line {len(self._head)}: there is no END")

    def _counted(self, name: bytes, start: int, stop: int) -> int | None:
        """What a record says of a number of things, if it says so."""
        text = next((line[start:stop].strip() for line in self.records(name)), b"")
        return int(text) if text.isdigit() else None

    def _check_lines(self, text: Bytes, lines: NDArray[np.int64]) -> None:
        """Atom lines are printable ASCII, each one atom, and none of them is cut or shifted."""
        if text.min() < 32 or text.max() > 126:
            bad = lines[((text < 32) | (text > 126)).any(axis=1)]
            raise Broken(f"line {bad[0] + 1} holds bytes that are no ASCII text")
        length = self._end[lines] - self._start[lines]
        short = lines[length < SHORTEST]
        last = self._end[lines[-1]] == len(self.data) and length[-1] < np.median(length)
        if len(short) or last:
            raise Broken(f"line {(short[0] if len(short) else lines[-1]) + 1} is cut off")
        dots = np.logical_and.reduce([text[:, place] == ord(".") for place in DOTS])
        if 0.5 < dots.mean() < 1:
            raise Broken(f"line {lines[~dots][0] + 1} has its coordinates in other columns than the lines around it")
        long = lines[length > WIDTH + 1]
        if 0 < len(long) < len(lines) / 2:
            raise Broken(f"line {long[0] + 1} is longer than a record: a line end is lost")

    def _parts(self, lines: NDArray[np.int64], text: Bytes) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        """Which piece of its chain an atom is in, as TER ends them; and whether it is in the chain or beside it."""
        ters = np.cumsum(self._head == b"TER")
        piece = ters[lines] - ters[lines[0]]
        hetero = text[:, 0] == ord("H")
        chain = text[:, 21].astype(np.int64)
        begun = np.full(256, np.iinfo(np.int64).max)
        np.minimum.at(begun, chain, piece)
        own = piece * 256 + chain
        beside = hetero & (piece > begun[chain]) & ~np.isin(own, np.unique(own[~hetero]))
        return np.where(beside, 0, piece).astype(np.int32), ~beside


def _numbers(
    text: Bytes, lines: NDArray[np.int64], columns: Columns
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates and occupancies by a library, of lines that hold what it cannot misread. What is written in an
    unusual way is read here."""
    fields = np.ascontiguousarray(text[:, 30:54]).reshape(-1, 8)
    odd = np.unique(np.flatnonzero(~plain(fields)) // 3)
    own = coordinates(text[odd, 30:54], lines[odd])
    held = text[:, 54:60]
    said = plain(held)
    clean = text.copy()
    clean[:, :30] = np.frombuffer(b"ATOM      1  X   UNL A   1    ", np.uint8)
    clean[odd, 30:54] = np.frombuffer(b"   0.000" * 3, np.uint8)
    clean[~said, 54:60] = np.frombuffer(b"  1.00", np.uint8)
    clean[:, 60:] = 32
    clean[:, 65] = 48
    xyz, occupancy = columns(clean)
    if len(xyz) == len(lines):
        xyz[odd] = own
    return xyz, occupancy


def _text(text: Bytes, start: int, stop: int, strip: bool = True) -> NDArray[Any]:
    """Columns as strings of bytes."""
    part = np.ascontiguousarray(text[:, start:stop]).view(f"S{stop - start}")[:, 0]
    if part.dtype.itemsize == 1:
        return np.where(part == b" ", b"", part)
    return np.char.strip(part) if strip else part
