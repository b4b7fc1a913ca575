"""The libraries that parse: biopython, and gemmi where it is installed, which is many times faster and gives the same.

Each is asked for two things only: the numbers of lines whose columns are known to hold numbers, and the tables of an
mmCIF file. What they mean is decided once, for both, in `table`.
"""

from __future__ import annotations

import functools
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate import SpeciateError
from speciate.errors import unknown
from speciate_pdb.table import Broken

__all__ = ["ENGINES", "Column", "Engine", "Tables", "engine"]

Column = Sequence[str] | NDArray[Any]
Tables = Callable[[str], Mapping[str, Column]]  # the columns of a category such as "_atom_site."
ENGINES = ("auto", "biopython", "gemmi")


@dataclass(frozen=True)
class Engine:
    name: str
    columns: Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], NDArray[np.float64]]]
    tables: Callable[[bytes], Tables]


@functools.cache
def engine(name: str) -> Engine:
    """The one that was asked for, or the fastest here."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES, "type -o engine=auto")
    there = importlib.util.find_spec("gemmi") is not None
    if name == "gemmi" and not there:
        raise SpeciateError("engine=gemmi", "gemmi is not installed", "type `pip install gemmi`, or -o engine=auto")
    if name == "gemmi" or (name == "auto" and there):
        return Engine("gemmi", _gemmi_columns, _gemmi_tables)
    return Engine("biopython", _biopython_columns, _biopython_tables)


# --- gemmi ------------------------------------------------------------------------------------------------------


def _gemmi_columns(text: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import gemmi

    lines = np.full((len(text), text.shape[1] + 1), 10, np.uint8)
    lines[:, :-1] = text
    flat = gemmi.FlatStructure(gemmi.read_pdb_string(lines.tobytes()))
    return np.array(flat.pos, np.float64), np.array(flat.occ, np.float32).astype(np.float64)


def _gemmi_tables(data: bytes) -> Tables:
    from gemmi import cif

    try:
        block = cif.read_string(data.decode("utf-8", "strict"))[0]
    except (ValueError, RuntimeError, IndexError) as error:  # gemmi's messages say where
        raise Broken(f"it is no CIF: {' '.join(str(error).split())}") from None

    return lambda category: _Category(block, category)


class _Category(Mapping[str, Sequence[str]]):
    """Columns that are taken out of gemmi when they are asked for; it has checked that they are of one length."""

    def __init__(self, block: Any, name: str) -> None:
        self.block, self.name = block, name
        self.taken: dict[str, list[str]] = {}
        self.tags = [tag[len(name) :] for tag in block.find_mmcif_category(name).tags]

    def __getitem__(self, tag: str) -> list[str]:
        if tag not in self.tags:
            raise KeyError(tag)
        if tag not in self.taken:
            values = list(self.block.find_values(self.name + tag))
            joined = "".join(values)
            if any(mark in joined for mark in "\"';"):
                meant = {value: _unquoted(value) for value in set(values)}
                values = [meant[value] for value in values]
            self.taken[tag] = values
        return self.taken[tag]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tags)

    def __len__(self) -> int:
        return len(self.tags)


def _unquoted(value: str) -> str:
    from gemmi import cif

    return str(cif.as_string(value)) if value[:1] in ("'", '"', ";") else value


# --- biopython --------------------------------------------------------------------------------------------------


class _Collector:
    """What biopython's parser builds into, without the chemistry that makes it drop atoms."""

    def __init__(self) -> None:
        self.xyz: list[Any] = []
        self.occupancy: list[float] = []

    def init_atom(self, name: str, coord: Any, b_factor: Any, occupancy: float | None, *rest: Any) -> None:
        self.xyz.append(coord)
        self.occupancy.append(1.0 if occupancy is None else occupancy)

    def get_structure(self) -> None: ...

    def _pass(self, *_: Any) -> None: ...

    init_structure = init_model = init_chain = init_seg = init_residue = set_header = set_line_counter = _pass


def _biopython_columns(text: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from Bio.PDB.PDBExceptions import PDBConstructionException
    from Bio.PDB.PDBParser import PDBParser

    collector = _Collector()
    lines = io.StringIO("\n".join(line.tobytes().decode("ascii") for line in text))
    try:
        PDBParser(PERMISSIVE=False, QUIET=True, structure_builder=collector).get_structure("", lines)
    except PDBConstructionException as error:
        raise Broken(str(error)) from None
    xyz = np.array(collector.xyz, np.float64).reshape(-1, 3)
    return xyz, np.array(collector.occupancy, np.float32).astype(np.float64)


def _biopython_tables(data: bytes) -> Tables:
    from Bio.PDB.MMCIF2Dict import MMCIF2Dict

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = MMCIF2Dict(io.StringIO(data.decode("utf-8", "strict")))
        except ValueError as error:
            raise Broken(f"it is no CIF: {' '.join(str(error).split())}") from None

    def table(category: str) -> Mapping[str, Sequence[str]]:
        columns = {key[len(category) :]: found[key] for key in found if key.startswith(category)}
        sizes = {len(column) for column in columns.values()}
        if len(sizes) > 1:
            raise Broken(f"its {category} columns are of several lengths, from {min(sizes):,} to {max(sizes):,}")
        return columns

    return table
