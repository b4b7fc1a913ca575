"""Files that do harm, or lie, or are merely strange; and mutations of good ones. All seeded."""

from __future__ import annotations

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import made

ATOM = "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00  0.00           C  \n"
SITE = "data_x\nloop_\n_atom_site.group_PDB\n_atom_site.Cartn_x\n_atom_site.Cartn_y\n_atom_site.Cartn_z\n"


def bomb(kind: str) -> bytes:
    """BinaryCIF of a few hundred bytes that asks for gigabytes."""
    import msgpack

    run = {"kind": "RunLength", "srcType": 3, "srcSize": 400_000_000}
    data = {"data": (7).to_bytes(4, "little") + (400_000_000).to_bytes(4, "little")}
    data["encoding"] = [run, {"kind": "ByteArray", "type": 3}]
    rows = 400_000_000
    if kind == "liar":
        rows = 2
    if kind == "deep":
        data["encoding"] = [{"kind": "Delta", "origin": 1, "srcType": 3}] * 10_000 + data["encoding"]
        rows = 2
    columns = [{"name": name, "data": data, "mask": None} for name in ("Cartn_x", "Cartn_y", "Cartn_z")]
    site = {"name": "_atom_site", "rowCount": rows, "columns": columns}
    return bytes(msgpack.packb({"dataBlocks": [{"header": "x", "categories": [site]}]}))


REFUSED: dict[str, Callable[[], bytes]] = {
    "empty.pdb": lambda: b"",
    "blank.pdb": lambda: b"\n \n\n",
    "zeros.pdb": lambda: bytes(5000),
    "noise.pdb": lambda: random.Random(1).randbytes(20_000),
    "noise.cif": lambda: random.Random(2).randbytes(20_000),
    "noise.bcif": lambda: random.Random(3).randbytes(20_000),
    "noise.faa": lambda: random.Random(4).randbytes(20_000),
    "stars.pdb": lambda: (ATOM + ATOM.replace("  11.104", "********")).encode(),
    "nan.pdb": lambda: ATOM.replace("  11.104", "     nan").encode(),
    "inf.pdb": lambda: ATOM.replace("  11.104", "     inf").encode(),
    "shifted.pdb": lambda: (ATOM * 5 + ATOM.replace("  11.104", " 11.104 ") + ATOM).encode(),
    "cut.pdb": lambda: (ATOM * 3 + ATOM[:52]).encode(),
    "cut-behind.pdb": lambda: (ATOM * 3 + ATOM[:60]).encode(),
    "joined.pdb": lambda: (ATOM + ATOM[:-1] + ATOM + ATOM).encode(),
    "record.pdb": lambda: (ATOM + ATOM.replace("ATOM", "AT0M") + ATOM).encode(),
    "number.pdb": lambda: ATOM.replace("A   1 ", "A  x1 ").encode(),
    "counted.pdb": lambda: (ATOM * 2 + f"MASTER{' ' * 40}{9:9d}\n").encode(),
    "cut-off.pdb": lambda: made.pdb(made.structure(1)).replace("ATOM", "SEQRES   1\nATOM", 1)[:-4].encode(),
    "models.pdb": lambda: (
        b"NUMMDL    3\nMODEL 1\n" + ATOM.encode() + b"ENDMDL\nMODEL 2\n" + ATOM.encode() + b"ENDMDL\n"
    ),
    "wide.pdb": lambda: made.pdb(made.structure(1)).encode("utf-16"),
    "umlaut.pdb": lambda: ATOM.replace("CA ", "Cä ").encode("latin-1"),
    "one-line.pdb": lambda: b"x" * 9_000_000,
    "ions.pdb": lambda: b"HETATM    1 ZN    ZN A   1      11.104   6.134  -6.504  1.00  0.00          ZN  \n",
    "far.cif": lambda: (SITE + "ATOM 1e300 2 3\n").encode(),
    "nan.cif": lambda: (SITE + "ATOM nan 2 3\n").encode(),
    "unknown.cif": lambda: (SITE + "ATOM ? 2 3\n").encode(),
    "uneven.cif": lambda: (SITE + "ATOM 1 2 3\nATOM 1 2\n").encode(),
    "open-text.cif": lambda: (SITE + "ATOM 1 2 3\n_x.y\n;never closed\n").encode(),
    "open-quote.cif": lambda: (SITE + "ATOM 1 2 3\n_x.y 'never closed\n").encode(),
    "no-atoms.cif": lambda: b"data_x\n_cell.length_a 1\n",
    "component.cif": lambda: b"data_CGU\n#\n_chem_comp.id CGU\n_chem_comp.name 'no structure'\n",
    "twice.cif": lambda: (made.mmcif(made.structure(1)) + made.mmcif(made.structure(2))).encode(),
    "cut.cif": lambda: made.mmcif(made.structure(1)).rpartition("#")[0].encode(),
    "bomb.bcif": lambda: bomb("run"),
    "liar.bcif": lambda: bomb("liar"),
    "deep.bcif": lambda: bomb("deep"),
    "nested.bcif": lambda: b"\x81\xaadataBlocks" + b"\x91" * 3000,
    "cut.bcif": lambda: made.bcif(made.structure(1))[:-50],
    "bomb.pdb.gz": lambda: gzip.compress(bytes(300_000_000), 1, mtime=0),
    "cut.pdb.gz": lambda: gzip.compress(made.pdb(made.structure(1)).encode(), mtime=0)[:-40],
    "flip.pdb.gz": lambda: flipped(gzip.compress(made.pdb(made.structure(1)).encode(), mtime=0)),
    "headless.faa": lambda: b"MKV\n>a\nMKV\n",
    "nothing.faa": lambda: b">a\n>b\nMKV\n",
    "digits.faa": lambda: b">a\nMK7\n",
}


def taken() -> dict[str, bytes]:
    """Strange, and yet whole."""
    atoms = made.structure(1)
    latin = "REMARK   1 AUTHOR M\xfcller\n" + made.pdb(atoms)
    many = "".join(f"MODEL {i:8d}\n{ATOM}ENDMDL\n" for i in range(200_000))
    return {
        "latin.pdb": latin.encode("latin-1"),
        "windows.pdb": made.pdb(made.structure(2)).replace("\n", "\r\n").encode(),
        "mac.pdb": made.pdb(made.structure(3)).replace("\n", "\r").encode(),
        "models.pdb": many.encode(),
        "frames.pdb": (ATOM.replace("ALA", "GLY") + "END\n").encode() * 3,
        "short.pdb": "".join(line[:54] + "\n" for line in made.pdb(made.structure(4)).splitlines()).encode(),
        "nameless": made.pdb(made.structure(5)).encode(),
    }


def flipped(data: bytes) -> bytes:
    """A bit in the middle of what is packed."""
    changed = bytearray(data)
    changed[len(data) // 2] ^= 0x10
    return bytes(changed)


def mutations(count: int, seed: int, good: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """(name, bytes): flips, truncations, deletions, insertions, splices of two files and changed numbers."""
    rng = random.Random(seed)
    kinds = (flips, truncation, deletion, insertion, splice, digits)
    for i in range(count):
        name = rng.choice(sorted(good))
        packed = name.endswith(".gz") and rng.random() < 0.7
        data = zlib.decompress(good[name], 31) if packed else good[name]
        changed = rng.choice(kinds)(rng, data, good[rng.choice(sorted(good))])
        yield f"m{i}-{name}", gzip.compress(changed, 1, mtime=0) if packed else changed


def flips(rng: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncation(rng: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: rng.randrange(len(data))]


def deletion(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 2, 100, 1000)) :]


def insertion(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + rng.randbytes(rng.choice((1, 2, 50))) + data[at:]


def splice(rng: random.Random, data: bytes, other: bytes) -> bytes:
    at, start = rng.randrange(len(data)), rng.randrange(len(other))
    return data[:at] + other[start : start + rng.choice((30, 300))] + data[at:]


def digits(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """What a number says becomes huge, negative or nothing."""
    places = [i for i, byte in enumerate(data) if 48 <= byte <= 57]
    if not places:
        return flips(rng, data, other)
    at = rng.choice(places)
    return data[:at] + rng.choice((b"9", b"-", b" ", b"\xff")) + data[at + 1 :]


def write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in files]
