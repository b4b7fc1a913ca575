"""Biological assemblies: which chains, turned and moved how, make the molecule as it works; from REMARK 350 of a PDB
file or the pdbx_struct tables of an mmCIF."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from speciate_pdb.engines import Tables
from speciate_pdb.structure import Structure, concatenate
from speciate_pdb.table import Broken

__all__ = ["Copies", "assemble", "from_remarks", "from_tables"]

Transform = NDArray[np.float64]  # [3, 4]: a rotation and a shift
MOST = 5000  # copies of one assembly: a large virus has a few hundred


@dataclass(frozen=True)
class Copies:
    """Chains, and a transform for each copy of them."""

    chains: frozenset[bytes]
    transforms: tuple[Transform, ...]


def assemble(structure: Structure, copies: Sequence[Copies], most: int) -> Structure:
    """Every copy of every chain, each with chains of its own."""
    parts: list[Structure] = []
    total = 0
    for one in copies:
        chosen = np.flatnonzero(np.isin(structure.asym, list(one.chains)))
        if not len(chosen):
            continue
        part = structure.take(chosen)
        total += len(part.atoms) * len(one.transforms)
        if total > most:
            raise Broken(f"its assembly has more than {most:,} atoms; type -o max_atoms=N if that is right")
        for transform in one.transforms:
            moved = part.atoms.astype(np.float64) @ transform[:, :3].T + transform[:, 3]
            parts.append(replace(part, atoms=moved.astype(np.float32)))
    if not parts:
        raise Broken("its assembly names none of the chains that are kept")
    return concatenate(parts)


def from_remarks(lines: Sequence[bytes], name: str) -> list[Copies]:
    """REMARK 350: BIOMOLECULE, then chains, then three lines a transform."""
    found: dict[str, list[Copies]] = {}
    current: list[Copies] = []
    chains: list[bytes] = []
    rows: list[list[float]] = []
    for line in (line.decode("ascii", "replace") for line in lines):
        if match := re.match(r"REMARK 350 BIOMOLECULE:\s*(\S+)", line):
            current = found.setdefault(match[1].rstrip(","), [])
            chains = []
        elif match := re.match(r"REMARK 350 (APPLY THE FOLLOWING TO|\s+AND) CHAINS?:(.*)", line):
            chains = ([] if match[1].startswith("APPLY") else chains) + [
                c.encode() for c in re.findall(r"\w+", match[2])
            ]
        elif match := re.match(r"REMARK 350\s+BIOMT[123]\s+\d+(.*)", line):
            rows.append(_floats(match[1].split()))
            if len(rows) == 3:
                current.append(Copies(frozenset(chains), (np.array(rows),)))
                rows = []
    return _chosen(found, name)


def from_tables(tables: Tables, name: str) -> list[Copies]:
    """_pdbx_struct_assembly_gen and its operators, such as (1-60)(61-88)."""
    operators = tables("_pdbx_struct_oper_list.")
    keys = [f"matrix[{i}][{j}]" if j < 4 else f"vector[{i}]" for i in (1, 2, 3) for j in (1, 2, 3, 4)]
    known: dict[str, Transform] = {}
    for i, key in enumerate(operators.get("id", [])):
        known[str(key)] = np.array(_floats([str(operators[k][i]) for k in keys])).reshape(3, 4)
    made = tables("_pdbx_struct_assembly_gen.")
    found: dict[str, list[Copies]] = {}
    for i, key in enumerate(made.get("assembly_id", [])):
        own = found.setdefault(str(key), [])
        if str(key) == name:
            chains = frozenset(chain.encode() for chain in str(made["asym_id_list"][i]).replace(" ", "").split(","))
            own.append(Copies(chains, tuple(_products(str(made["oper_expression"][i]), known))))
    return _chosen(found, name)


def _products(expression: str, known: Mapping[str, Transform]) -> list[Transform]:
    """`1,3-5` is a copy each; `(1-60)(61-88)` each of the first after each of the second."""
    groups = re.findall(r"\(([^()]*)\)", expression) or [expression]
    names = [[n for part in group.split(",") for n in _span(part.strip())] for group in groups]
    if np.prod([float(len(group)) for group in names]) > MOST:
        raise Broken(f"its assembly has more than {MOST:,} copies")
    unknown = sorted({name for group in names for name in group} - set(known))
    if unknown:
        raise Broken(f"its assembly uses the operator {unknown[0]!r}, which is not in the file")
    made = []
    for combination in itertools.product(*names):
        whole = np.eye(4)
        for name in combination:
            whole = whole @ np.vstack([known[name], [0, 0, 0, 1]])
        made.append(whole[:3])
    return made


def _span(part: str) -> list[str]:
    match = re.fullmatch(r"(\d+)-(\d+)", part)
    if match is None:
        return [part]
    if int(match[2]) - int(match[1]) > MOST:
        raise Broken(f"its assembly has more than {MOST:,} copies")
    return [str(i) for i in range(int(match[1]), int(match[2]) + 1)]


def _floats(words: Sequence[str]) -> list[float]:
    try:
        values = [float(word) for word in words]
    except ValueError:
        raise Broken(f"a transform of its assembly holds {' '.join(words)!r}") from None
    if not np.isfinite(values).all() or len(values) % 4:
        raise Broken(f"a transform of its assembly holds {' '.join(words)!r}")
    return values


def _chosen(found: Mapping[str, list[Copies]], name: str) -> list[Copies]:
    if name not in found:
        there = ", ".join(found) or "none"
        raise Broken(f"it has no assembly {name!r}; there is: {there}; leave out -o assembly")
    return found[name]
