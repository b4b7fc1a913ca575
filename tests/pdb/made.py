"""Seeded structures with everything that real files have, in each format; and what has to come out of them, known from
how they were made and not from any parser."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from speciate import SpeciateError
from speciate_pdb.example import NAMES
from speciate_pdb.mpnn import weights_file

NUMBERS = {"H": 1, "C": 6, "N": 7, "O": 8, "S": 16, "SE": 34, "ZN": 30}


@dataclass(frozen=True)
class Atom:
    chain: str
    number: int
    code: str
    residue: str
    name: str
    element: str
    xyz: tuple[float, float, float]
    altloc: str = ""
    occupancy: float = 1.0
    hetero: bool = False
    polymer: bool = True
    kept: bool = True


def mpnn_there() -> bool:
    """Whether ProteinMPNN's weights are on this machine."""
    try:
        return weights_file("vanilla/v_48_020").is_file()
    except SpeciateError:
        return False


def structure(seed: int, chains: str = "AB", residues: int = 12) -> list[Atom]:
    """Protein with insertion codes, alternate locations, selenomethionine, an unknown residue, hydrogens and a point
    mutation; then a ligand, an ion and waters."""
    rng = random.Random(seed)
    atoms: list[Atom] = []
    for chain in chains:
        number, letters = rng.randint(-5, 90), rng.choices(list(NAMES), k=residues)
        for place in range(residues):
            code = ""
            if rng.random() < 0.15 and place:
                code = rng.choice("ABC") if atoms[-1].code == "" else chr(ord(atoms[-1].code) + 1)
            else:
                number += rng.choice((1, 1, 1, 4))
            atoms += _residue(rng, chain, number, code, letters[place], place)
    for chain in chains:
        for number, name, element in ((901, "ZN", "ZN"), (902, "HOH", "O"), (903, "LIG", "C")):
            place = _place(rng)
            label = {"ZN": "ZN", "HOH": "O", "LIG": "C1"}[name]
            atoms.append(Atom(chain, number, "", name, label, element, place, hetero=True, polymer=False, kept=False))
    return atoms


def _residue(rng: random.Random, chain: str, number: int, code: str, letter: str, place: int) -> list[Atom]:
    kind = rng.random()
    residue, hetero = NAMES[letter], False
    if kind < 0.1:
        residue, hetero = "MSE", True
    elif kind < 0.15:
        residue = "UNK"
    names = [("N", "N"), ("CA", "C"), ("C", "C"), ("O", "O"), ("CB", "C"), ("HA", "H")]
    if residue == "MSE":
        names.append(("SE", "SE"))
    if rng.random() < 0.1 and place:
        names.remove(("O", "O"))
    base = Atom(chain, number, code, residue, "", "", (0.0, 0.0, 0.0), hetero=hetero)
    made: list[Atom] = []
    split = 0.15 < kind < 0.35
    share = rng.choice((0.3, 0.5, 0.7))
    for name, element in names:
        one = replace(base, name=name, element=element, xyz=_place(rng), kept=element != "H")
        if split and name in ("CB", "CA"):
            first = replace(one, altloc="A", occupancy=share, kept=share >= 0.5)
            second = replace(first, altloc="B", occupancy=round(1 - share, 2), xyz=_place(rng), kept=share < 0.5)
            made += [first, second]
        else:
            made.append(one)
    if kind > 0.9:  # another residue in the same place, less likely
        other = "SER" if residue != "SER" else "THR"
        made = [replace(atom, altloc="A", occupancy=0.6) for atom in made]
        made += [replace(atom, altloc="B", occupancy=0.4, residue=other, kept=False, xyz=_place(rng)) for atom in made]
    return made


def _place(rng: random.Random) -> tuple[float, float, float]:
    return (round(rng.uniform(-99, 99), 3), round(rng.uniform(-999, 999), 3), round(rng.uniform(-9, 9), 3))


def expected(atoms: list[Atom]) -> dict[str, list[object]]:
    """The sequence, numbers, chains, coordinates, elements and residues that have to come out."""
    one = {three: letter for letter, three in NAMES.items()} | {"MSE": "M", "UNK": "X"}
    kept = [atom for atom in atoms if atom.kept]
    keys = list(dict.fromkeys((atom.chain, atom.number, atom.code, atom.residue) for atom in kept))
    chains = list(dict.fromkeys(key[0] for key in keys))
    return {
        "sequence": [one[key[3]] for key in keys],
        "number": [key[1] for key in keys],
        "chain": [chains.index(key[0]) for key in keys],
        "atoms": [atom.xyz for atom in kept],
        "element": [NUMBERS[atom.element] for atom in kept],
        "residue": [keys.index((atom.chain, atom.number, atom.code, atom.residue)) for atom in kept],
    }


def pdb(atoms: list[Atom], models: int = 1, blank: bool = False) -> str:
    """As a PDB file, the later models shifted; `blank` leaves out the chains' names."""
    lines = ["HEADER    MADE UP                                 01-JAN-26   9XYZ"]
    for model in range(models):
        lines += [f"MODEL     {model + 1:4d}"] if models > 1 else []
        for serial, (atom, after) in enumerate(zip(atoms, [*atoms[1:], None], strict=True), 1):
            x, y, z = (value + model for value in atom.xyz)
            name = f" {atom.name:<3}" if len(atom.element) == 1 else f"{atom.name:<4}"
            record = "HETATM" if atom.hetero else "ATOM  "
            chain = " " if blank else atom.chain
            code = atom.code or " "
            who = f"{record}{serial:5d} {name}{atom.altloc or ' '}{atom.residue:>3} {chain}{atom.number:4d}{code}"
            lines.append(f"{who}   {x:8.3f}{y:8.3f}{z:8.3f}{atom.occupancy:6.2f}{20:6.2f}          {atom.element:>2}")
            if atom.polymer and (after is None or after.chain != atom.chain or not after.polymer):
                lines.append(f"TER   {serial % 100000:5d}      {atom.residue:>3} {chain}{atom.number:4d}")
        lines += ["ENDMDL"] if models > 1 else []
    return "\n".join([*lines, "END", ""])


COLUMNS = """
group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_seq_id pdbx_PDB_ins_code
Cartn_x Cartn_y Cartn_z occupancy auth_seq_id auth_asym_id pdbx_PDB_model_num
"""


def table(atoms: list[Atom], models: int = 1) -> dict[str, list[str]]:
    """The columns of _atom_site."""
    rows = []
    for model in range(models):
        for serial, atom in enumerate(atoms, 1):
            x, y, z = (f"{value + model:.3f}" for value in atom.xyz)
            asym, place = (atom.chain, str(serial)) if atom.polymer else (f"{atom.chain}{atom.number}", ".")
            who = [atom.element, atom.name, atom.altloc or ".", atom.residue, asym, place, atom.code or "?"]
            where = [x, y, z, f"{atom.occupancy:.2f}", str(atom.number), atom.chain, str(model + 1)]
            rows.append(["HETATM" if atom.hetero else "ATOM", str(serial), *who, *where])
    return dict(zip(COLUMNS.split(), map(list, zip(*rows, strict=True)), strict=True))


def mmcif(atoms: list[Atom], models: int = 1) -> str:
    """As an mmCIF file."""
    columns = table(atoms, models)
    rows = [" ".join(row) for row in zip(*columns.values(), strict=True)]
    head = ["data_9XYZ", "#", "_entry.id 9XYZ", "#", "loop_", *(f"_atom_site.{name}" for name in columns)]
    return "\n".join([*head, *rows, "#", ""])


def bcif(atoms: list[Atom], models: int = 1) -> bytes:
    """As a BinaryCIF file, with each of the usual encodings somewhere."""
    import msgpack
    import numpy as np

    columns = table(atoms, models)
    packed = []
    for name, words in columns.items():
        if name.startswith("Cartn"):
            values = np.round(np.array(words, np.float64) * 1000).astype("<i4")
            encoding = [{"kind": "FixedPoint", "factor": 1000, "srcType": 33}, {"kind": "ByteArray", "type": 3}]
        elif name in ("id", "auth_seq_id"):
            whole = np.array(words, np.int64)
            values = np.diff(whole, prepend=whole[0]).astype("<i4")
            delta = {"kind": "Delta", "origin": int(whole[0]), "srcType": 3}
            encoding = [delta, {"kind": "ByteArray", "type": 3}]
        elif name == "pdbx_PDB_model_num":
            values = np.array([v for m in range(models) for v in (m + 1, len(atoms))], "<i4")
            run = {"kind": "RunLength", "srcType": 3, "srcSize": len(words)}
            encoding = [run, {"kind": "ByteArray", "type": 3}]
        else:
            packed.append({"name": name, "data": _strings(words), "mask": None})
            continue
        packed.append({"name": name, "data": {"data": values.tobytes(), "encoding": encoding}, "mask": None})
    site = {"name": "_atom_site", "rowCount": len(atoms) * models, "columns": packed}
    entry = {"name": "_entry", "rowCount": 1, "columns": [{"name": "id", "data": _strings(["9XYZ"]), "mask": None}]}
    block = {"header": "9XYZ", "categories": [entry, site]}
    return msgpack.packb({"encoder": "made up", "version": "0.3.0", "dataBlocks": [block]})


def _strings(words: list[str]) -> dict[str, object]:
    import numpy as np

    unique = list(dict.fromkeys(words))
    offsets = np.cumsum([0, *map(len, unique)]).astype("<i4")
    which = np.array([unique.index(word) for word in words], "u1" if len(unique) < 255 else "<u2")
    packing = {"kind": "IntegerPacking", "byteCount": which.itemsize, "isUnsigned": True, "srcSize": len(words)}
    kind = {
        "kind": "StringArray",
        "stringData": "".join(unique),
        "offsets": offsets.tobytes(),
        "offsetEncoding": [{"kind": "ByteArray", "type": 3}],
        "dataEncoding": [packing, {"kind": "ByteArray", "type": 4 if which.itemsize == 1 else 5}],
    }
    return {"data": which.tobytes(), "encoding": [kind]}
