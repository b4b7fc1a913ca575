"""What residues and elements are called, and what one letter stands for them."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["KINDS", "LIGAND", "NUCLEIC", "PROTEIN", "WATER", "atomic_numbers", "kind_and_letter"]

LIGAND, PROTEIN, NUCLEIC, WATER = range(4)
KINDS = ("ligands", "protein", "nucleic acids", "water")
WATERS = frozenset({b"HOH", b"WAT", b"H2O", b"DOD", b"TIP", b"TIP3", b"TIP4", b"SOL", b"SPC", b"OH2", b"HHO"})
SIMULATED = {  # what force fields call residues; the Protein Data Bank does not know these names
    **dict.fromkeys(("HSD", "HSE", "HSP", "HID", "HIE", "HIP", "HISA", "HISB", "HISH", "HISD", "HISE"), "H"),
    **dict.fromkeys(("CYX", "CYM", "CYSH", "CYN", "CYF"), "C"),
    **dict.fromkeys(("ASH", "ASPH"), "D"),
    **dict.fromkeys(("GLH", "GLUH"), "E"),
    **dict.fromkeys(("LYN", "LYSH", "LSN"), "K"),
    **{"ARN": "R", "TYM": "Y", "ASX": "B", "GLX": "Z", "UNK": "X", "XLE": "J"},
}
BASES = {**{f"{d}{x}{e}": x.lower() for d in ("D", "R", "") for x in "ACGTU" for e in ("", "3", "5")}, "DI": "i"}
BASES |= {"ADE": "a", "CYT": "c", "GUA": "g", "THY": "t", "URA": "u", "I": "i", "N": "n", "DN": "n"}
ELEMENTS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr"
)
NUMBERS = {symbol.upper().encode(): number for number, symbol in enumerate(ELEMENTS.split())} | {b"D": 1, b"T": 1}
BIOGENIC = frozenset({b"H", b"D", b"C", b"N", b"O", b"S", b"P"})  # what an atom of a polymer begins with, but for Se


@functools.cache
def _letters() -> dict[str, tuple[int, str]]:
    """Modified residues go by their parent, as the Protein Data Bank's dictionary has it: MSE is M, SEP is S."""
    from Bio.Data import PDBData

    nucleic = {k.strip(): v.lower() for k, v in PDBData.nucleic_letters_3to1_extended.items()} | BASES
    protein = {k.strip(): v for k, v in PDBData.protein_letters_3to1_extended.items()} | SIMULATED
    known = {name: (NUCLEIC, letter if len(letter) == 1 else "n") for name, letter in nucleic.items()}
    return known | {name: (PROTEIN, letter if len(letter) == 1 else "X") for name, letter in protein.items()}


@functools.lru_cache(maxsize=4096)
def kind_and_letter(name: bytes) -> tuple[int, str]:
    """What a residue of this name is, and its letter."""
    if name in WATERS:
        return WATER, "X"
    found = _letters().get(name.decode("ascii", "replace").upper())
    if found is None or not found[1].isalpha():
        return (LIGAND, "X") if found is None else (found[0], "X")
    return found


def atomic_numbers(
    symbols: NDArray[np.bytes_], names: NDArray[np.bytes_], kinds: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """By the element column; where that says nothing, by the atom's name."""
    keys = np.zeros((len(names), 16), np.uint8)
    for place, column in ((0, symbols.astype("S2")), (2, names.astype("S6"))):
        width = column.dtype.itemsize
        keys[:, place : place + width] = np.ascontiguousarray(column).view(np.uint8).reshape(-1, width)
    keys[:, 8] = kinds == LIGAND
    first, second = keys.view(np.uint64).T
    _, index, inverse = np.unique(first ^ (second << np.uint64(63)), return_index=True, return_inverse=True)
    known = [_atomic_number(bytes(symbols[i]), bytes(names[i]), kinds[i] == LIGAND) for i in index.tolist()]
    return np.array(known, np.uint8)[inverse]


@functools.lru_cache(maxsize=65536)
def _atomic_number(symbol: bytes, name: bytes, ligand: bool) -> int:
    found = NUMBERS.get(symbol.strip().upper(), 0)
    if found:
        return found
    letters = name.strip().lstrip(b"0123456789'\"*").upper()
    if not ligand:  # CA is a carbon here, HG a hydrogen
        first = b"SE" if letters.startswith(b"SE") else letters[:1]
        if first in BIOGENIC or first == b"SE":
            return NUMBERS[first]
    lone = name[:1] in b" 0123456789"  # one letter is written in the second column: " CA " is carbon, "CA  " calcium
    whole = letters[:2] if not lone else letters[:1]
    return NUMBERS.get(whole, 0) or NUMBERS.get(letters[:1], 0)
