"""Parts of structures that a table names: `domains.csv` beside the files says which file, which region and what else.

file,region,label
1abc.pdb,"A:1-120,A:150-200",beta
1abc.pdb,B:,alpha
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from speciate import Row, SpeciateError
from speciate_pdb.structure import Structure

__all__ = ["NAME", "domains_of", "region_of"]

NAME = "domains.csv"
PART = re.compile(r"(?:(?P<chain>[^:,]*):)?(?:(?P<first>-?\d+)(?P<a>[A-Za-z]?)-(?P<last>-?\d+)(?P<b>[A-Za-z]?))?")
OWN = ("file", "region")
RESERVED = ("structure", "entry", "chain", "residues", "atoms", "models", "missing")


def domains_of(path: Path) -> list[tuple[str | None, Row]]:
    """(region, the table's other columns) of each domain of this file.

    Where there is no table, or it does not name the file, it is one thing without a region. Then the other columns are
    there without a value: one that a person asks for is in every file, or it is a mistake.
    """
    table = path.parent / NAME
    if not table.is_file():
        return [(None, {})]
    names = {path.name.lower(), path.name.lower().removesuffix(".gz"), path.name.lower().partition(".")[0]}
    found: list[tuple[str | None, Row]] = []
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            if not set(OWN) <= set(lines.fieldnames or ()):
                exists = f"its columns are: {', '.join(lines.fieldnames or ())}"
                raise SpeciateError(f"{table.name} has no columns file and region", exists, "add them, or rename it")
            own = [name for name in lines.fieldnames or () if name and name not in (*OWN, *RESERVED)]
            for line in lines:
                if (line["file"] or "").lower() in names:
                    found.append((line["region"] or "", {name: line[name] or None for name in own}))
    except (UnicodeError, csv.Error) as error:
        raise SpeciateError(f"{table.name} cannot be read", str(error), "save it as CSV in UTF-8") from None
    return found or [(None, dict.fromkeys(own))]


def region_of(structure: Structure, region: str) -> Structure:
    """`A:1-120,A:150-200`, `B:`, `10-52`: residues by their author's numbers, both ends included."""
    chosen = [residue for part in region.split(",") for residue in _part(structure, part.strip(), region).tolist()]
    return structure.take(np.array(sorted(set(chosen)), np.int64))


def _part(structure: Structure, part: str, region: str) -> NDArray[np.int64]:
    match = PART.fullmatch(part)
    if match is None:
        raise SpeciateError(f"region {region!r}", "a region is CHAIN:FIRST-LAST", "write A:1-120, B: or 10-52")
    chain = match["chain"] or ""
    own = np.arange(len(structure.letters))
    if chain:
        if chain not in structure.names:
            there = ", ".join(sorted({name or "(blank)" for name in structure.names}))
            raise SpeciateError(f"region {region!r}", f"the chains are: {there}", "mend the region")
        own = own[structure.chain == structure.names.index(chain)]
    if match["first"] is None:
        return own
    first, last = (_place(structure, own, match[n], match[code]) for n, code in (("first", "a"), ("last", "b")))
    if len(first) and len(last):
        return own[first[0] : last[-1] + 1]
    number = structure.number[own]  # an end that was not seen
    within = own[(number >= int(match["first"])) & (number <= int(match["last"]))]
    if not len(within):
        raise SpeciateError(f"region {region!r}", f"the residues go from {number.min()} to {number.max()}", "mend it")
    return within


def _place(structure: Structure, own: NDArray[np.int64], number: str, code: str) -> NDArray[np.int64]:
    """Where a residue is among `own`."""
    return np.flatnonzero((structure.number[own] == int(number)) & (structure.inserted[own] == code.encode()))
