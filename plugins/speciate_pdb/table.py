"""From the atoms of a file, one after another, to residues: what belongs together, and which of several places holds.

The rules are the same whatever the file's format and whoever parsed it.

- A residue is a run of atoms with one chain, number, insertion code and name; runs of one residue that are apart in the
  file are put together, unless they hold the same atoms (then these are two residues with one number).
- Of alternate locations the one with the highest occupancy is kept, residue by residue; the first of equals.
- Where two residues share one place (a point mutation in the crystal), the one with the higher occupancy is kept.
- Hydrogens are left out. What is not protein is left out unless it was asked for.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from speciate_pdb.options import StructureOptions
from speciate_pdb.residues import KINDS, LIGAND, NUCLEIC, PROTEIN, WATER, atomic_numbers, kind_and_letter
from speciate_pdb.structure import BACKBONE, Structure

__all__ = ["Atoms", "Broken", "structure_of"]

FARTHEST = 1e6  # Angstrom from the origin
BOND = 2.5  # Angstrom between C and N of two residues, at most
HYDROGEN = 1


class Broken(ValueError):
    """What is wrong with a file, and where."""


@dataclass(frozen=True)
class Atoms:
    """The atoms of one model in the order of the file, as columns."""

    xyz: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    number: NDArray[np.int32]
    inserted: NDArray[np.bytes_]
    name: NDArray[np.bytes_]  # with its spaces, where the format has any
    altloc: NDArray[np.bytes_]  # b"" where there is none
    residue: NDArray[np.bytes_]  # the residue's name
    chain: NDArray[np.bytes_]
    part: NDArray[np.int32]  # of a chain that was ended and begins again
    asym: NDArray[np.bytes_]  # what assemblies call the chain
    symbol: NDArray[np.bytes_]
    polymer: NDArray[np.bool_]

    def take(self, chosen: Any) -> Atoms:
        return Atoms(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})

    def check(self) -> None:
        """Coordinates are numbers of a size that molecules have."""
        wrong = np.flatnonzero(~(np.abs(self.xyz) < FARTHEST).all(axis=1))
        if len(wrong):
            x, y, z = self.xyz[wrong[0]]
            raise Broken(f"atom {wrong[0] + 1} lies at ({x:g}, {y:g}, {z:g}), which is no place")


@dataclass(frozen=True)
class Runs:
    """Atoms that follow each other in one residue: where they begin, and what the residue is."""

    first: NDArray[np.int64]
    kind: NDArray[np.uint8]
    letter: NDArray[np.uint8]

    def of(self, atoms: int) -> NDArray[np.int64]:
        """The run of each atom."""
        return np.repeat(np.arange(len(self.first)), np.diff(np.append(self.first, atoms)))

    def take(self, chosen: NDArray[np.bool_], atoms: int) -> tuple[Runs, NDArray[np.bool_]]:
        """Some of the runs, and which of the atoms are in them."""
        many = np.diff(np.append(self.first, atoms))
        left = many[chosen]
        return Runs(np.cumsum(left) - left, self.kind[chosen], self.letter[chosen]), np.repeat(chosen, many)


def structure_of(atoms: Atoms, options: StructureOptions) -> Structure:
    """The residues that were asked for."""
    atoms.check()
    runs = _runs(atoms)
    facts = _facts(atoms, runs)
    wanted = {PROTEIN} | {
        kind
        for kind, asked in ((NUCLEIC, options.nucleic), (LIGAND, options.ligands), (WATER, options.waters))
        if asked
    }
    chosen = np.isin(runs.kind, list(wanted))
    if not chosen.any():
        raise Broken(_nothing(runs))
    if not chosen.all():
        runs, keep = runs.take(chosen, len(atoms.number))
        atoms = atoms.take(np.flatnonzero(keep))
    elements = atomic_numbers(atoms.symbol, atoms.name, runs.kind[runs.of(len(atoms.number))])
    heavy = elements != HYDROGEN
    residue = _together(atoms, runs)
    places = _one_place(atoms, residue, heavy)
    return _structure(atoms, runs, residue, elements, places, facts)


def _runs(atoms: Atoms) -> Runs:
    """Protein is what has a letter, or N, CA and C; unless it lies beside its chain, like a free amino acid."""
    keys = (atoms.number, atoms.inserted, atoms.residue, atoms.chain, atoms.part)
    change = np.zeros(len(atoms.number), dtype=bool)
    change[:1] = True
    for key in keys:
        change[1:] |= key[1:] != key[:-1]
    first = np.flatnonzero(change)
    names, which = np.unique(atoms.residue[first], return_inverse=True)
    known = [kind_and_letter(bytes(name)) for name in names]
    kind = np.array([kind for kind, _ in known], np.uint8)[which]
    letter = np.array([ord(letter) for _, letter in known], np.uint8)[which]
    kind[~atoms.polymer[first] & ((kind == PROTEIN) | (kind == NUCLEIC))] = LIGAND
    runs = Runs(first, kind, letter)
    _check_names(atoms, first)
    strange = (kind == LIGAND) & atoms.polymer[first]
    if strange.any():
        kind[strange & _peptide(atoms, runs)] = PROTEIN
    letter[kind == LIGAND] = ord("X")
    return runs


def _check_names(atoms: Atoms, first: NDArray[np.int64]) -> None:
    """Atoms of another name in the midst of a residue, in its place and without alternate locations: damage."""
    before, inside, after = first[:-2], first[1:-1], first[2:]
    same = np.ones(len(inside), dtype=bool)
    for key in (atoms.number, atoms.inserted, atoms.chain, atoms.part):
        same &= (key[before] == key[inside]) & (key[inside] == key[after])
    same &= (atoms.residue[before] == atoms.residue[after]) & (atoms.altloc[inside] == b"")
    if same.any():
        place = inside[same][0]
        names = [bytes(atoms.residue[at]).decode("ascii", "replace") for at in (place, place - 1)]
        raise Broken(f"atom {place + 1} is of a residue {names[0]!r} in the midst of {names[1]} {atoms.number[place]}")


def _peptide(atoms: Atoms, runs: Runs) -> NDArray[np.bool_]:
    """The runs that have N, CA and C, and are bonded to one before or behind them."""
    names = np.char.strip(atoms.name)
    of = runs.of(len(names))
    places = np.full((3, len(runs.first)), -1)
    for place, name in zip(places, BACKBONE[:3], strict=True):
        there = np.flatnonzero(names == name.encode())[::-1]
        place[of[there]] = there
    start, _, end = places
    gaps = np.linalg.norm(atoms.xyz[end[:-1]] - atoms.xyz[start[1:]], axis=1)
    joined = (end[:-1] >= 0) & (start[1:] >= 0) & (gaps < BOND)
    bonded: NDArray[np.bool_] = (places >= 0).all(axis=0) & (np.append(joined, False) | np.insert(joined, 0, False))
    return bonded


def _together(atoms: Atoms, runs: Runs) -> NDArray[np.int64]:
    """The residue of each run's atoms, as the number of the run it begins with."""
    head = runs.first
    if _ascending(atoms, head):
        return runs.of(len(atoms.number))
    parts = [atoms.chain[head], atoms.part[head].astype("S"), atoms.number[head].astype("S"), atoms.inserted[head]]
    site = parts[0]
    for part in parts[1:]:
        site = np.char.add(np.char.add(site, b"\n"), part)
    _, where, many = np.unique(site, return_inverse=True, return_counts=True)
    target = np.arange(len(head))
    if (many > 1).any():
        _join(atoms, runs, where, np.flatnonzero(many[where] > 1), target)
    return target[runs.of(len(atoms.number))]


def _ascending(atoms: Atoms, head: NDArray[np.int64]) -> bool:
    """Whether residues are counted upwards in chains that come once, as they mostly are: then no place occurs twice."""
    chain, part = atoms.chain[head], atoms.part[head]
    number, inserted = atoms.number[head], atoms.inserted[head]
    same = (chain[1:] == chain[:-1]) & (part[1:] == part[:-1])
    more = (number[1:] > number[:-1]) | ((number[1:] == number[:-1]) & (inserted[1:] > inserted[:-1]))
    begins = np.flatnonzero(np.append(True, ~same))
    chains = list(zip(chain[begins].tolist(), part[begins].tolist(), strict=True))
    return bool(more[same].all()) and len(set(chains)) == len(chains)


def _join(
    atoms: Atoms, runs: Runs, where: NDArray[np.int64], again: NDArray[np.int64], target: NDArray[np.int64]
) -> None:
    """Decide for runs whose place occurs more than once; `target` -1 marks a residue that lost its place."""
    ends = np.append(runs.first[1:], len(atoms.number))
    spans = {run: slice(runs.first[run], ends[run]) for run in again.tolist()}
    sites: dict[int, dict[bytes, list[list[int]]]] = {}
    for run, span in spans.items():
        names = sites.setdefault(int(where[run]), {}).setdefault(bytes(atoms.residue[span.start]), [])
        own = _places(atoms, span)
        for group in names:
            if own.isdisjoint(set().union(*(_places(atoms, spans[other]) for other in group))):
                group.append(run)
                target[run] = group[0]
                break
        else:
            names.append([run])
    for there in sites.values():
        if len(there) > 1:
            _mutated(atoms, spans, there, target)


def _places(atoms: Atoms, span: slice) -> set[tuple[bytes, bytes]]:
    return set(zip(atoms.name[span].tolist(), atoms.altloc[span].tolist(), strict=True))


def _mutated(
    atoms: Atoms, spans: dict[int, slice], names: dict[bytes, list[list[int]]], target: NDArray[np.int64]
) -> None:
    """Residues of several names in one place: of those that are alternate locations throughout only the likeliest
    stays, and none beside one that also has atoms for good."""
    likely: dict[bytes, float] = {}
    whole = []
    for name, groups in names.items():
        places = np.concatenate([np.arange(spans[run].start, spans[run].stop) for group in groups for run in group])
        likely[name] = float(atoms.occupancy[places].mean())
        if (atoms.altloc[places] == b"").any():
            whole.append(name)
    if len(whole) > 1 or (whole and not (atoms.altloc[spans[names[whole[0]][0][0]]] != b"").any()):
        return
    best = whole[0] if whole else max(likely, key=lambda name: likely[name])  # the first of equals
    for name, groups in names.items():
        if name != best:
            target[[run for group in groups for run in group]] = -1


def _one_place(atoms: Atoms, residue: NDArray[np.int64], heavy: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The atoms that stay, residue by residue, in the order of the file."""
    keep = heavy & (residue >= 0)
    several = (atoms.altloc != b"") & keep
    if several.any():
        among = np.flatnonzero(keep & np.isin(residue, np.unique(residue[several])))
        among = among[np.argsort(residue[among], kind="stable")]
        columns = (among, residue[among], atoms.name[among], atoms.altloc[among], atoms.occupancy[among])
        rows = zip(*(column.tolist() for column in columns), strict=True)
        for _, places in itertools.groupby(rows, key=lambda row: row[1]):
            keep[_unlikely([(place, name, letter, share) for place, _, name, letter, share in places])] = False
    chosen = np.flatnonzero(keep)
    return chosen[np.argsort(residue[chosen], kind="stable")]


def _unlikely(places: list[tuple[int, bytes, bytes, float]]) -> list[int]:
    """Of the atoms of one residue (place, name, letter, occupancy) those that go: all but the likeliest location, and
    of atoms that are not in it, all but their own likeliest."""
    shares: dict[bytes, list[float]] = {}
    for _, _, letter, share in places:
        if letter:
            shares.setdefault(letter, []).append(share)
    best = max(shares, key=lambda letter: sum(shares[letter]) / len(shares[letter]))  # the first of equals
    there = {name for _, name, letter, _ in places if letter in (b"", best)}
    others: dict[bytes, list[tuple[float, int]]] = {}
    for place, name, letter, share in places:
        if letter not in (b"", best):
            others.setdefault(name, []).append((-share, place))
    gone = []
    for name, some in others.items():
        stays = -1 if name in there else min(some)[1]
        gone += [place for _, place in some if place != stays]
    return gone


def _structure(
    atoms: Atoms,
    runs: Runs,
    residue: NDArray[np.int64],
    elements: NDArray[np.uint8],
    chosen: NDArray[np.int64],
    facts: dict[str, Any],
) -> Structure:
    """Arrays of the residues that have an atom left."""
    used, own = np.unique(residue[chosen], return_inverse=True)
    head = runs.first[used]
    chain, names = _chains(atoms, runs, used)
    return Structure(
        letters=runs.letter[used],
        number=atoms.number[head],
        chain=chain,
        backbone=_backbone(atoms.name[chosen], own, len(used), runs.kind[used]),
        atoms=atoms.xyz[chosen].astype(np.float32),
        element=elements[chosen],
        residue=own.astype(np.int32),
        inserted=atoms.inserted[head],
        asym=atoms.asym[head],
        names=names,
        facts=facts,
    )


def _chains(atoms: Atoms, runs: Runs, used: NDArray[np.int64]) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Chains in the order they appear. Ligands and waters go with the chain of their name; a chain that was ended and
    begins again is another one."""
    seen: dict[tuple[bytes, int], int] = {}
    by_name: dict[bytes, int] = {}
    head = runs.first[used]
    beside = (runs.kind[used] == LIGAND) | (runs.kind[used] == WATER)
    chain, part = atoms.chain[head], atoms.part[head]
    change = (chain[1:] != chain[:-1]) | (part[1:] != part[:-1]) | (beside[1:] != beside[:-1])
    begins = np.flatnonzero(np.append(True, change))
    found = np.empty(len(begins), np.int32)
    keys = zip(chain[begins].tolist(), part[begins].tolist(), beside[begins].tolist(), strict=True)
    for i, (name, piece, apart) in enumerate(keys):
        if apart and name in by_name:
            found[i] = by_name[name]
            continue
        found[i] = seen.setdefault((name, piece), len(seen))
        by_name.setdefault(name, int(found[i]))
    found = np.repeat(found, np.diff(np.append(begins, len(used))))
    return found, tuple(name.decode("ascii", "replace").strip() for name, _ in seen)


def _backbone(
    names: NDArray[np.bytes_], residue: NDArray[np.int64], many: int, kinds: NDArray[np.uint8]
) -> NDArray[np.int32]:
    """Where N, CA, C and O of each residue of protein are; -1 where they are not."""
    places = np.full((many, 4), -1, np.int32)
    bare = np.char.strip(names)
    protein = kinds[residue] == PROTEIN
    for column, name in enumerate(BACKBONE):
        there = np.flatnonzero((bare == name.encode()) & protein)[::-1]  # the first one wins
        places[residue[there], column] = there
    return places


def _facts(atoms: Atoms, runs: Runs) -> dict[str, Any]:
    """What is in the file beside what is kept."""
    names = atoms.residue[runs.first[runs.kind == LIGAND]]
    ligands = Counter(bytes(name).decode("ascii", "replace") for name in names)
    return {
        "ligands": ",".join(sorted(ligands)),
        "waters": int((runs.kind == WATER).sum()),
        "nucleotides": int((runs.kind == NUCLEIC).sum()),
        "altlocs": int((atoms.altloc != b"").sum()),
    }


def _nothing(runs: Runs) -> str:
    counts = Counter(KINDS[kind] for kind in runs.kind.tolist())
    there = ", ".join(f"{count} of {name}" for name, count in counts.items())
    return f"it has no residue of protein, but {there}"
