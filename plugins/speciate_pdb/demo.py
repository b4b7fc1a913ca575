"""The demo's data: domains of SCOPe out of a published package, and what class of fold each has.

The package carries sequences and secondary structure, not coordinates; so this is the harder question of what a
sequence alone says of its fold, asked of superfamilies that the model has not seen.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from speciate import Demo
from speciate.demo import fetch

__all__ = ["demo"]

PACKAGE = "sidechainnet==1.0.1"
TABLE = "sidechainnet/resources/single_domain_dssp_annotations.json"
CLASSES = {"a": "alpha", "b": "beta", "c": "alpha/beta", "d": "alpha+beta"}
LENGTHS = range(30, 601)
EACH = 4  # domains of a superfamily: the large ones must not speak for all


def demo(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """Some thousand different sequences as one FASTA file; each header says class and superfamily."""
    [table] = fetch(PACKAGE, [TABLE], folder, ask)
    domains = json.loads(table.read_text(encoding="utf-8"))
    families: dict[str, dict[str, str]] = defaultdict(dict)
    seen: set[str] = set()
    for name in sorted(domains):
        sequence, fold = domains[name]["Sequence"], domains[name]["SCCS"]
        if sequence not in seen and fold[0] in CLASSES and len(sequence) in LENGTHS:
            seen.add(sequence)
            families[".".join(fold.split(".")[:3])][name] = sequence
    records = []
    for family, members in sorted(families.items()):
        names = list(members)
        for name in names[:: max(1, len(names) // EACH)][:EACH]:
            records.append(f">{name} class={CLASSES[family[0]]} superfamily={family}\n{members[name]}\n")
    question = folder / "question.fasta"
    question.write_text(">lysozyme\n" + LYSOZYME + "\n", encoding="ascii")
    sequences = folder / "scope.fasta"
    sequences.write_text("".join(records), encoding="ascii")
    return Demo(
        title="SCOPe: which class of fold a protein has, of superfamilies that were never seen",
        licence="sidechainnet is BSD-3; the domains are SCOPe 2.07's, free with citation. Nothing of it is kept.",
        add=[{"paths": [sequences], "target": "class", "group": "superfamily", "format": "pdb"}],
        recipe="pdb/probe-kmers",
        question=question,
    )


LYSOZYME = (  # of bacteriophage T4
    "MNIFEMLRIDEGLRLKIYKDTEGYYTIGIGHLLTKSPSLNAAKSELDKAIGRNTNGVITKDEAEKLFNQDVDAAVRGILRNAKLKPVYDSLDAVRRAALINMVFQMG"
    "ETGVAGFTNSLRMLQQKRWDEAAVNLAKSRWYNQTPNRAKRVITTFRTGTWDAYKNL"
)
