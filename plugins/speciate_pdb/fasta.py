"""FASTA: sequences without coordinates. A header says a name, and may say more as `word=value`."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from speciate import Row
from speciate_pdb.structure import Structure, pack
from speciate_pdb.table import Broken

__all__ = ["records", "sequence_only"]

PAIR = re.compile(r"([A-Za-z_]\w*)=(.*?)(?=\s+[A-Za-z_]\w*=|$)")
LETTERS = re.compile(r"[A-Za-z]+")
LONGEST = 1 << 20  # residues; the longest protein known has 45,000
NUCLEIC = frozenset("ACGTUN")


def records(data: bytes, nucleic: bool) -> Iterator[Row]:
    """A row for each record: the structure of a sequence, its name, and what the header says as `word=value`."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Broken(f"byte {error.start} is no UTF-8 text") from None
    header, lines, begun = "", [], 0
    for number, line in enumerate([*text.splitlines(), ">"], 1):
        if not line.startswith((">", ";")):
            lines.append(line)
            if not begun and line.strip():
                raise Broken(f"line {number} comes before the first header")
            continue
        if line.startswith(">"):
            if begun:
                yield _row(header, "".join(lines), begun, nucleic)
            header, lines, begun = line[1:].strip(), [], number


def _row(header: str, written: str, line: int, nucleic: bool) -> Row:
    sequence = "".join(written.split()).replace("-", "").replace(".", "").rstrip("*").upper()
    where = f"the record on line {line}"
    if not sequence:
        raise Broken(f"{where} has no sequence")
    if not LETTERS.fullmatch(sequence):
        strange = next(letter for letter in sequence if not LETTERS.fullmatch(letter))
        raise Broken(f"{where} has {strange!r} in its sequence")
    if len(sequence) > LONGEST:
        raise Broken(f"{where} has {len(sequence):,} residues, more than {LONGEST:,}")
    bases = len(sequence) > 20 and NUCLEIC.issuperset(sequence)
    if bases and not nucleic:
        raise Broken(f"{where} looks like nucleic acid; type -o nucleic=true to take it")
    name, _, rest = header.partition(" ")
    said = {key: value.strip() for key, value in PAIR.findall(rest)}
    structure = sequence_only(sequence.lower() if bases else sequence)
    facts: Row = {"entry": name, "chain": "", "residues": len(sequence), "atoms": 0, "models": 0, "missing": 0}
    return {"structure": pack(structure), **{key: value for key, value in said.items() if key not in facts}, **facts}


def sequence_only(letters: str) -> Structure:
    """A chain of residues without atoms, counted from 1."""
    many = len(letters)
    return Structure(
        letters=np.frombuffer(letters.encode("ascii"), np.uint8),
        number=np.arange(1, many + 1, dtype=np.int32),
        chain=np.zeros(many, np.int32),
        backbone=np.full((many, 4), -1, np.int32),
        atoms=np.zeros((0, 3), np.float32),
        element=np.zeros(0, np.uint8),
        residue=np.zeros(0, np.int32),
        inserted=np.zeros(many, "S1"),
        asym=np.zeros(many, "S1"),
        names=("",),
    )
