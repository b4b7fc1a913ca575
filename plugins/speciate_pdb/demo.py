"""The demo's data: domains of SCOPe out of a published package, and what class of fold each has.

The package carries sequences and secondary structure, not coordinates; so this is the harder question of what a
sequence alone says of its fold, asked of superfamilies that the model has not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from speciate import Demo
from speciate_pdb.scope import domains, fasta, spread

__all__ = ["demo"]


def demo(folder: Path, ask: Callable[[str], bool]) -> Demo:
    """Some thousand different sequences as one FASTA file; each header says class and superfamily."""
    sequences = folder / "scope.fasta"
    sequences.write_text(fasta(spread(domains(folder, ask))), encoding="ascii")
    question = folder / "question.fasta"
    question.write_text(">lysozyme\n" + LYSOZYME + "\n", encoding="ascii")
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
