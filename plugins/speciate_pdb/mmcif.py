"""mmCIF and BinaryCIF: the same tables, as text or packed. What a column means is decided here for both."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_pdb.engines import Column, Tables
from speciate_pdb.table import Atoms, Broken

__all__ = ["CIFFile", "check_text"]

SITE = "_atom_site."
NOTHING = (b"", b".", b"?")


@dataclass
class CIFFile:
    """The tables of a file, by category."""

    tables: Tables
    _site: Mapping[str, Column] = field(init=False)
    _names: Mapping[str, str] = field(init=False)
    _model: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._site = self.tables(SITE)
        self._names = {name.lower(): name for name in self._site}
        if "cartn_x" not in self._names:
            raise Broken("it has no atoms with coordinates: there is no _atom_site.Cartn_x")
        number = self._words("pdbx_pdb_model_num")
        starts = np.ones(len(number), dtype=bool)
        starts[1:] = number[1:] != number[:-1]
        self._model = np.cumsum(starts) - 1
        if len(np.unique(number)) < starts.sum():
            again = np.flatnonzero(starts)[-1]
            raise Broken(
                f"its models are mixed up: row {again + 1} of _atom_site goes back to model {_shown(number[again])}"
            )

    @property
    def models(self) -> int:
        return int(self._model[-1]) + 1 if len(self._model) else 0

    def atoms(self, model: int, most: int) -> Atoms:
        chosen = slice(*np.searchsorted(self._model, [model, model + 1]).tolist())
        many = chosen.stop - chosen.start
        if many > most:
            raise Broken(f"it has {many:,} atoms, more than {most:,}; type -o max_atoms=N if that is right")
        place = self._words("label_seq_id")[chosen]
        author = self._first("auth_seq_id", "label_seq_id")[chosen]
        author = np.where(_unsaid(author), place, author)
        asym = self._first("label_asym_id", "auth_asym_id")[chosen]
        chain = self._first("auth_asym_id", "label_asym_id")[chosen]
        return Atoms(
            xyz=np.stack([self._numbers(f"cartn_{axis}", chosen) for axis in "xyz"], axis=1),
            occupancy=self._occupancy(chosen),
            number=_whole(author),
            inserted=_blank(self._words("pdbx_pdb_ins_code")[chosen]),
            name=self._first("label_atom_id", "auth_atom_id")[chosen],
            altloc=_blank(self._words("label_alt_id")[chosen]),
            residue=self._first("auth_comp_id", "label_comp_id")[chosen],
            chain=chain,
            part=np.zeros(many, np.int32),
            asym=asym,
            symbol=self._words("type_symbol")[chosen],
            polymer=self._polymer(place, asym, chosen),
        )

    def _polymer(self, place: NDArray[Any], asym: NDArray[Any], chosen: slice) -> NDArray[np.bool_]:
        """Which atoms have a place in a chain; where a program left all places out, those of chains with an ATOM."""
        said = ~_unsaid(place) if "label_seq_id" in self._names else np.zeros(len(place), dtype=bool)
        if said.any():
            return said
        named = np.unique(asym[self._words("group_pdb")[chosen] == b"ATOM"])
        return np.isin(asym, named) if len(named) else ~said

    def _words(self, name: str) -> NDArray[Any]:
        """A column as strings of bytes; of empty ones where there is no such column."""
        if name not in self._names:
            return np.full(len(self._site[self._names["cartn_x"]]), b"", "S1")
        column = self._site[self._names[name]]
        try:
            if isinstance(column, list) and column and column.count(column[0]) == len(column):
                return np.full(len(column), column[0].encode("ascii"))
            return np.array(column, dtype="S") if len(column) else np.zeros(0, "S1")
        except UnicodeEncodeError:
            raise Broken(f"its column _atom_site.{name} holds more than ASCII") from None

    def _first(self, *names: str) -> NDArray[Any]:
        for name in names:
            if name in self._names:
                return self._words(name)
        raise Broken(f"it has no column _atom_site.{names[0]}")

    def _numbers(self, name: str, chosen: slice) -> NDArray[np.float64]:
        column = self._site[self._names[name]] if name in self._names else []
        try:
            if len(column) == len(self._model):
                return np.array(column, dtype=np.float64)[chosen]
        except ValueError:
            pass
        wrong = next((i for i, value in enumerate(column) if not _is_number(value)), 0)
        shown = f"{column[wrong]!s:.20}" if len(column) else "nothing"
        raise Broken(f"row {wrong + 1} of _atom_site has {shown!r} as {name}")

    def _occupancy(self, chosen: slice) -> NDArray[np.float64]:
        """1 where the file does not say."""
        words = self._words("occupancy")[chosen]
        said = np.where(_unsaid(words), b"1", words)
        try:
            return _by_run(said, np.float32).astype(np.float64)
        except ValueError:
            raise Broken("its column _atom_site.occupancy holds what is no number") from None


def check_text(data: bytes) -> None:
    """What tokenisers let pass: more structures than one, and a file that was cut between two tables."""
    if b"\0" in data:
        raise Broken(f"it is no text: byte {data.index(0)} is zero")
    if len(re.findall(rb"_atom_site\.Cartn_x\s", data)) > 1:
        raise Broken("it holds several structures (_atom_site twice); split it into files")
    if b"_atom_site." not in data:
        raise Broken("it has no table of atoms (_atom_site): it is cut off, or describes something else")
    banded = re.search(rb"(?m)^data_\S*\s*\n#\s*$", data[:1000])  # as the Protein Data Bank ends its tables
    if banded and data.rstrip().rpartition(b"\n")[2].strip() != b"#":
        raise Broken("it is cut off: its tables end with #, the last one does not")


def _whole(words: NDArray[Any]) -> NDArray[np.int32]:
    try:
        return _by_run(words, np.int64).astype(np.int32)
    except ValueError:
        wrong = next(i for i, word in enumerate(words.tolist()) if not word.lstrip(b"-").isdigit())
        raise Broken(f"row {wrong + 1} of _atom_site has {_shown(words[wrong])!r} as residue number") from None


def _shown(word: bytes) -> str:
    return word.decode("ascii", "replace")


def _by_run(words: NDArray[Any], kind: type) -> NDArray[Any]:
    """Words as numbers; a word that comes many times in a row is read once."""
    first = np.flatnonzero(np.append(True, words[1:] != words[:-1])[: len(words)])
    return np.repeat(words[first].astype(kind), np.diff(np.append(first, len(words))))


def _unsaid(words: NDArray[Any]) -> NDArray[np.bool_]:
    unsaid: NDArray[np.bool_] = np.logical_or.reduce([words == nothing for nothing in NOTHING])
    return unsaid


def _blank(words: NDArray[Any]) -> NDArray[Any]:
    return np.where(_unsaid(words), b"", words)


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True
