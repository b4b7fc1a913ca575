"""Small good files of every kind the format knows, for the conformance kit and for trying things out: helices and
strands, built from their angles."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["NAMES", "backbone", "example", "mmcif_text", "pdb_text"]

THREE = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL"
NAMES = dict(zip("ARNDCQEGHILKMFPSTWYV", THREE.split(" "), strict=True))
ANGLES = {"helix": (-57.0, -47.0), "strand": (-120.0, 130.0)}
BONDS = {"N": 1.329, "CA": 1.458, "C": 1.525}  # to the atom before
BENDS = {"N": 116.6, "CA": 121.7, "C": 111.0}
Coordinates = NDArray[np.float64]


def example(folder: Path) -> list[Path]:
    """Write them; each has a sequence of its own, so that nothing is a duplicate."""
    helix, strand = backbone("helix", 24), backbone("strand", 24)
    chains = [("MKALEELAKRIGVTPEQAMRLAKE", helix), ("GSTVTVRWDGKTYEVRVESSNPTV", strand)]
    files: dict[str, str] = {
        "helix.pdb": pdb_text(chains[:1]),
        "two.ent": pdb_text(chains),
        "strand.cif": mmcif_text([("GTVKVEYQGNRFTVSTPDSLVKIE", strand)]),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="ascii")
    packed = folder / "packed.cif.gz"
    packed.write_bytes(gzip.compress(mmcif_text([("AEAAAKEAAAKEAAAKEAAAKALW", helix)]).encode(), mtime=0))
    return [folder / name for name in (*files, packed.name)]


def backbone(kind: str, many: int) -> Coordinates:
    """N, CA, C and O [many, 4, 3] of a regular piece of chain."""
    phi, psi = np.deg2rad(ANGLES[kind])
    turns = {"N": psi, "CA": np.pi, "C": phi}
    chain = [np.array(point) for point in ((0.0, 0.0, 0.0), (1.458, 0.0, 0.0), (2.005, 1.424, 0.0))]
    for _ in range(many):
        for name in ("N", "CA", "C"):
            chain.append(_next(chain[-3:], BONDS[name], np.deg2rad(BENDS[name]), turns[name]))
    atoms = np.array(chain[: 3 * many]).reshape(many, 3, 3)
    after = np.array(chain[3 : 3 * many + 3]).reshape(many, 3, 3)[:, 0]
    away = _unit(atoms[:, 2] - atoms[:, 1]) + _unit(atoms[:, 2] - after)
    oxygen = atoms[:, 2] + 1.231 * _unit(away)
    return np.concatenate([atoms, oxygen[:, None]], axis=1)


def pdb_text(chains: Sequence[tuple[str, Coordinates]]) -> str:
    """A PDB file."""
    lines, serial = ["HEADER    DE NOVO PROTEIN                         01-JAN-26   1SPC"], 0
    for chain, (sequence, atoms) in zip("ABCDEFGH", chains, strict=False):
        for number, (letter, four) in enumerate(zip(sequence, atoms, strict=True), 1):
            for name, (x, y, z) in zip(("N", "CA", "C", "O"), four, strict=True):
                serial += 1
                place = f"{x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           {name[0]}  "
                lines.append(f"ATOM  {serial:5d}  {name:<3} {NAMES[letter]} {chain}{number:4d}    {place}")
        lines.append(f"TER   {serial + 1:5d}      {NAMES[sequence[-1]]} {chain}{len(sequence):4d}")
    return "\n".join([*lines, "END", ""])


def mmcif_text(chains: Sequence[tuple[str, Coordinates]]) -> str:
    """An mmCIF file."""
    names = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id "
        "pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    )
    lines = ["data_1SPC", "#", "_entry.id 1SPC", "#", "loop_", *(f"_atom_site.{name}" for name in names.split())]
    serial = 0
    for chain, (sequence, atoms) in zip("ABCDEFGH", chains, strict=False):
        for number, (letter, four) in enumerate(zip(sequence, atoms, strict=True), 1):
            for name, (x, y, z) in zip(("N", "CA", "C", "O"), four, strict=True):
                serial += 1
                who = f"ATOM {serial} {name[0]} {name} . {NAMES[letter]} {chain} {number} ?"
                lines.append(f"{who} {x:.3f} {y:.3f} {z:.3f} 1.00 20.00 {number} {chain} 1")
    return "\n".join([*lines, "#", ""])


def _next(last: Sequence[Coordinates], bond: float, bend: float, turn: float) -> Coordinates:
    """The atom after three others, by its bond, its angle and its turn."""
    a, b, c = last
    along = _unit(c - b)
    normal = _unit(np.cross(b - a, along))
    side = np.cross(normal, along)
    step = np.array([-np.cos(bend), np.sin(bend) * np.cos(turn), np.sin(bend) * np.sin(turn)])
    place: Coordinates = c + bond * (step[0] * along + step[1] * side + step[2] * normal)
    return place


def _unit(vectors: Coordinates) -> Coordinates:
    found: Coordinates = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return found
