"""Residues that a file names but nobody saw: REMARK 465 of a PDB file, pdbx_unobs_or_zero_occ_residues of an mmCIF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from speciate_pdb.engines import Tables
from speciate_pdb.residues import NUCLEIC, PROTEIN, kind_and_letter
from speciate_pdb.structure import Structure

__all__ = ["Unseen", "from_remarks", "from_tables", "insert"]


class Unseen(NamedTuple):
    """One residue without coordinates."""

    number: int
    inserted: str
    chain: str
    name: str


def from_remarks(lines: Sequence[bytes]) -> list[Unseen]:
    """`REMARK 465     MET A   1B`, of the first model or of all."""
    found: dict[Unseen, None] = {}
    for line in (line.decode("ascii", "replace").ljust(30) for line in lines):
        name, chain, digits, code = line[15:18].strip(), line[19].strip(), line[21:26].strip(), line[26].strip()
        model = line[12:14].strip()
        if name and digits.lstrip("-").isdigit() and model in ("", "1"):
            found[Unseen(int(digits), code, chain, name)] = None
    return list(found)


def from_tables(tables: Tables) -> list[Unseen]:
    """Residues of polymers that have no atom at all."""
    table = tables("_pdbx_unobs_or_zero_occ_residues.")
    names = [f"auth_{part}" for part in ("seq_id", "asym_id", "comp_id")]
    names += ["polymer_flag", "occupancy_flag", "PDB_ins_code", "PDB_model_num"]
    found: dict[Unseen, None] = {}
    many = len(table.get("auth_seq_id", []))
    columns = [[str(value) for value in table[name]] if name in table else ["?"] * many for name in names]
    for number, chain, name, polymer, occupancy, code, model in zip(*columns, strict=True):
        if polymer != "N" and occupancy != "0" and number.lstrip("-").isdigit() and model in ("?", "1"):
            found[Unseen(int(number), "" if code in ("?", ".") else code, chain, name)] = None
    return list(found)


def insert(structure: Structure, unseen: Sequence[Unseen], nucleic: bool) -> Structure:
    """Put each where its author's number belongs in its chain."""
    wanted = {PROTEIN, NUCLEIC} if nucleic else {PROTEIN}
    first = {name: place for place, name in reversed(list(enumerate(structure.names)))}
    new = [one for one in unseen if one.chain in first and kind_and_letter(one.name.encode())[0] in wanted]
    if not new:
        return structure
    before = len(structure.letters)
    chain = np.append(structure.chain, [first[one.chain] for one in new]).astype(np.int32)
    number = np.append(structure.number, [one.number for one in new]).astype(np.int32)
    place = np.arange(len(number))
    for i, one in enumerate(new):
        own = np.flatnonzero(structure.chain == first[one.chain])
        later = own[structure.number[own] > one.number]
        place[before + i] = later[0] if len(later) else own[-1] + 1
    key = np.append(np.arange(before) * 2 + 1, place[before:] * 2)  # before the residue at that place
    letters = [ord(kind_and_letter(one.name.encode())[1]) for one in new]
    extended = replace(
        structure,
        letters=np.append(structure.letters, letters).astype(np.uint8),
        number=number,
        chain=chain,
        backbone=np.vstack([structure.backbone, np.full((len(new), 4), -1, np.int32)]),
        inserted=np.append(structure.inserted, [one.inserted.encode() for one in new]),
        asym=np.append(structure.asym, [structure.asym[structure.chain == first[one.chain]][0] for one in new]),
    )
    return extended.take(np.argsort(key, kind="stable"))
