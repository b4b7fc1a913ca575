"""The Reader of structures: PDB, mmCIF and BinaryCIF files, packed or not, and sequences in FASTA.

A row holds the residues and atoms themselves (`structure.pack`), not the file's bytes. So the same structure is the
same row in whatever format it comes, `decode` is the same few slices in training and serving, and neither the parser
that is installed nor its version has a say in what a model sees.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from speciate import Row, Sample, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_pdb import assembly, bcif, fasta, missing
from speciate_pdb.content import BINARY, FASTA, MMCIF, kind_of, load
from speciate_pdb.domains import domains_of, region_of
from speciate_pdb.engines import ENGINES, Tables, engine
from speciate_pdb.mmcif import CIFFile, check_text
from speciate_pdb.options import StructureOptions
from speciate_pdb.pdbtext import PDBFile
from speciate_pdb.structure import Structure, pack, unpack
from speciate_pdb.table import Broken, structure_of

__all__ = ["StructureReader"]

ROWS = ("file", "chain")
MODELS = 10_000  # rows of one file
DAMAGE = (ValueError, KeyError, IndexError, TypeError, OverflowError, EOFError, RuntimeError, zlib.error, struct.error)


class StructureReader:
    """Reads one file of structures."""

    def __init__(self, options: StructureOptions) -> None:
        if options.rows not in ROWS:
            raise unknown("kind of rows", options.rows, ROWS, "type -o rows=chain")
        if options.engine not in ENGINES:
            raise unknown("engine", options.engine, ENGINES, "type -o engine=auto")
        if options.model < 0 or options.max_megabytes < 1 or options.max_atoms < 1:
            asked = f"model={options.model} max_megabytes={options.max_megabytes} max_atoms={options.max_atoms}"
            raise UsageError(asked, "model is 1, 2, ... or 0 for all; the limits are at least 1", "leave them out")
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"structure": "blob"}

    def read(self, path: Path) -> Iterator[Row]:
        try:
            data = load(path, self.options.max_megabytes)
            kind = kind_of(path, data)
            yield from fasta.records(data, self.options.nucleic) if kind == FASTA else self._rows(path, data, kind)
        except SpeciateError:
            raise
        except DAMAGE as error:
            why = str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"
            do = "get it again, or leave it out"
            raise SpeciateError(f"{path.name} cannot be read as a structure", why, do) from error

    def decode(self, row: Mapping[str, Any]) -> Sample:
        return unpack(row["structure"])

    def _rows(self, path: Path, data: bytes, kind: str) -> Iterator[Row]:
        """One row a model, a chain or a domain."""
        entry, models, structures = self._tables(data, kind) if kind in (MMCIF, BINARY) else self._lines(data)
        domains = domains_of(path)
        for number, structure in structures:
            facts = {"entry": entry, "models": models, "model": number, **structure.facts}
            for region, others in domains:
                if region is not None:
                    yield {**others, **_row(region_of(structure, region), facts | {"region": region})}
                elif self.options.rows == "chain":
                    for chain in range(len(structure.names)):
                        yield {**others, **_row(structure.take(np.flatnonzero(structure.chain == chain)), facts)}
                else:
                    yield {**others, **_row(structure, facts)}

    def _lines(self, data: bytes) -> tuple[str, int, Iterator[tuple[int, Structure]]]:
        """What a PDB file holds."""
        file = PDBFile(data)
        columns = engine(self.options.engine).columns
        unseen = missing.from_remarks(file.records(b"REMARK", b"465"))
        wanted = self.options.assembly
        copies = assembly.from_remarks(file.records(b"REMARK", b"350"), wanted) if wanted else []
        header = file.records(b"HEADER")
        entry = header[0][62:66].decode("ascii", "replace").strip() if header else ""

        def structures() -> Iterator[tuple[int, Structure]]:
            for model in self._models(file.models):
                atoms = file.atoms(model, self.options.max_atoms, columns)
                yield model + 1, self._whole(structure_of(atoms, self.options), unseen, copies)

        return entry, file.models, structures()

    def _tables(self, data: bytes, kind: str) -> tuple[str, int, Iterator[tuple[int, Structure]]]:
        """What an mmCIF or BinaryCIF file holds."""
        tables = self._opened(data, kind)
        file = CIFFile(tables)
        unseen = missing.from_tables(tables)
        copies = assembly.from_tables(tables, self.options.assembly) if self.options.assembly else []
        entry = next((str(value) for value in tables("_entry.").get("id", ())), "")

        def structures() -> Iterator[tuple[int, Structure]]:
            for model in self._models(file.models):
                atoms = file.atoms(model, self.options.max_atoms)
                yield model + 1, self._whole(structure_of(atoms, self.options), unseen, copies)

        return entry, file.models, structures()

    def _opened(self, data: bytes, kind: str) -> Tables:
        if kind == BINARY:
            return bcif.tables(data, self.options.max_atoms)
        check_text(data)
        return engine(self.options.engine).tables(data)

    def _models(self, many: int) -> range:
        """The models that make rows, counted from 0."""
        chosen = self.options.model
        if chosen > many:
            raise Broken(f"it has {many} models, not {chosen}; type -o model=1, or 0 for all")
        if chosen == 0 and many > MODELS:
            raise Broken(f"it has {many:,} models, more than {MODELS:,}; type -o model=1")
        if chosen == 0:
            return range(many)
        return range(chosen - 1, chosen)

    def _whole(self, structure: Structure, unseen: list[missing.Unseen], copies: list[assembly.Copies]) -> Structure:
        structure.facts["missing"] = len(unseen)
        if self.options.missing:
            structure = missing.insert(structure, unseen, self.options.nucleic)
        return assembly.assemble(structure, copies, self.options.max_atoms) if copies else structure


def _row(structure: Structure, facts: Row) -> Row:
    names = ",".join(name or "(blank)" for name in structure.names)
    counts = {"chain": names, "residues": len(structure.letters), "atoms": len(structure.atoms)}
    return {"structure": pack(structure), **facts, **counts}
