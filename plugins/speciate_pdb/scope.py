"""Domains of SCOPe, out of a published package: the fold, the sequence and the secondary structure of each.

    python -m speciate_pdb.scope FOLDER [--yes]

says which parts of a folder's structures are domains: it writes FOLDER/domains.csv with their class of fold and their
superfamily, for files that are named as the Protein Data Bank names them. `speciate add` then makes a row of each.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from speciate import SpeciateError, UsageError
from speciate.files import write_text
from speciate.packages import asker, fetch
from speciate_pdb.domains import NAME
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

__all__ = ["CLASSES", "Domain", "domains", "fasta", "join", "secondary_structure", "spread"]

PACKAGE = "sidechainnet==1.0.1"
TABLE = "sidechainnet/resources/single_domain_dssp_annotations.json"
PLACES = "sidechainnet/resources/astral_data.txt"
CLASSES = {"a": "alpha", "b": "beta", "c": "alpha/beta", "d": "alpha+beta"}
OTHERS = {"e": "several domains", "f": "membrane", "g": "small"}
LENGTHS = range(30, 601)
EACH = 4  # domains of a superfamily: the large ones must not speak for all
ENTRY = re.compile(r"(?:pdb)?(\d[a-z0-9]{3})\.(?:pdb|ent|cif|mmcif|bcif)(?:\.gz)?", re.IGNORECASE)


@dataclass(frozen=True)
class Domain:
    """A part of a protein that folds by itself."""

    name: str
    fold: str  # class, fold, superfamily and family, such as a.1.1.2
    sequence: str
    dssp: str  # a letter for each residue: H, G, I helices; E, B strands; T turn, S bend, L none of these

    @property
    def superfamily(self) -> str:
        return self.fold.rpartition(".")[0]


def domains(folder: Path, ask: Callable[[str], bool]) -> list[Domain]:
    """Those of the four large classes with a sequence of their own and of usual length, by name."""
    [table] = fetch(PACKAGE, [TABLE], folder, ask)
    found: dict[str, Domain] = {}
    for name, said in sorted(json.loads(table.read_text(encoding="utf-8")).items()):
        domain = Domain(name, said["SCCS"], said["Sequence"], said["DSSP"])
        if domain.fold[0] in CLASSES and len(domain.sequence) in LENGTHS and len(domain.sequence) == len(domain.dssp):
            found.setdefault(domain.sequence, domain)
    return list(found.values())


def spread(some: Iterable[Domain], each: int = EACH) -> list[Domain]:
    """So many of every superfamily."""
    families: dict[str, list[Domain]] = defaultdict(list)
    for domain in some:
        families[domain.superfamily].append(domain)
    return [one for _, kin in sorted(families.items()) for one in kin[:: max(1, len(kin) // each)][:each]]


def fasta(some: Iterable[Domain], dssp: bool = False) -> str:
    """A record for each, whose header says class, superfamily and, if asked for, a letter for each residue."""
    return "".join(
        f">{one.name} class={CLASSES[one.fold[0]]} superfamily={one.superfamily}"
        f"{f' dssp={one.dssp}' if dssp else ''}\n{one.sequence}\n"
        for one in some
    )


def secondary_structure(folder: Path, ask: Callable[[str], bool], each: int = EACH) -> Path:
    """A FASTA file with a label for each residue: the column `dssp` is as long as the sequence, residue by residue."""
    path = folder / "secondary.fasta"
    write_text(path, fasta(spread(domains(folder, ask), each), dssp=True))
    return path


def join(folder: Path, ask: Callable[[str], bool]) -> dict[str, int]:
    """Write domains.csv beside structures; how many files there are, how many of them hold domains, and how many."""
    table = folder / NAME
    if table.exists():
        raise UsageError(f"there is a {table}", "it would be written anew", "move it away, or use it as it is")
    named = {path.name: known[1].lower() for path in sorted(folder.iterdir()) if (known := ENTRY.fullmatch(path.name))}
    if not named:
        do = "give a folder of files such as 1ubi.pdb, pdb1ubi.ent.gz or 1UBI.cif"
        raise UsageError(f"no structures in {folder}", "no file there is named after an entry of the PDB", do)
    with tempfile.TemporaryDirectory() as scratch:
        [places] = fetch(PACKAGE, [PLACES], Path(scratch), ask)
        known_places = _places(places, set(named.values()))
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", "region", "domain", "class", "superfamily"])
    rows = []
    for file, entry in named.items():
        there = _chains(folder / file) if entry in known_places else set()
        rows += [(file, *place) for place in known_places.get(entry, ()) if _named(place[0]) <= there]
    lines.writerows(rows)
    write_text(table, text.getvalue())
    return {"files": len(named), "with_domains": len({file for file, *_ in rows}), "domains": len(rows)}


def _places(file: Path, wanted: Collection[str]) -> dict[str, list[tuple[str, str, str, str]]]:
    """(region, domain, class, superfamily) for each domain of some entries, as SCOPe 2.07 has them.

    The file holds the descriptions of several releases one behind another, the newest first.
    """
    found: dict[str, list[tuple[str, str, str, str]]] = defaultdict(list)
    releases, names = 0, CLASSES | OTHERS
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            releases += line.startswith("# SCOPe release")
            if releases > 1:
                break
            _, kind, fold, name, place = (*line.rstrip("\n").split("\t", 4), "", "", "", "")[:5]
            entry, _, region = place.partition(" ")
            if kind == "px" and entry in wanted and fold[0] in names:
                own = "" if region == "-" else region
                found[entry].append((own, name, names[fold[0]], fold.rpartition(".")[0]))
    return found


def _named(region: str) -> set[str]:
    return {chain for part in region.split(",") if (chain := part.rpartition(":")[0])}


def _chains(file: Path) -> set[str]:
    """Of the first model; people cut files, and a region of a chain that is not there would refuse all of the file."""
    try:
        return {name for row in StructureReader(StructureOptions()).read(file) for name in row["chain"].split(",")}
    except SpeciateError:  # `add` puts it aside, and says why
        return set()


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Says which parts of structures are domains of SCOPe.")
    parser.add_argument("folder", type=Path, help="PDB or mmCIF files, named after their entries")
    parser.add_argument("--yes", action="store_true", help="download the table (48 MB) without asking")
    asked = parser.parse_args(words)
    try:
        counts = join(asked.folder, asker(asked.yes))
    except SpeciateError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(json.dumps(counts))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
