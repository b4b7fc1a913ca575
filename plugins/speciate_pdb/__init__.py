"""Protein structures and sequences: PDB, mmCIF, BinaryCIF and FASTA files, and their encoders. Declarations only."""

from typing import Any

from speciate import Base, Format, Near, hookimpl
from speciate.modality import STRUCTURE
from speciate_pdb import options

PIP, TORCH, HF, BOTH = "speciate[pdb]", ("torch",), ("torch", "transformers"), ("vector", "places")
COORDINATES = ("*.pdb", "*.pdb[1-9]", "*.ent", "*.cif", "*.mmcif", "*.bcif")
PATTERNS = tuple(p + packed for p in (*COORDINATES, "*.fasta", "*.fa", "*.faa") for packed in ("", ".gz"))
HEADS = (b"HEADER    ", b"ATOM      ", b"REMARK   ", b"CRYST1 ", b"MODEL     ", b"data_")
BASES = {  # loader: name, summary, what it requires, what it gives
    "mpnn:MPNN": ("proteinmpnn", "ProteinMPNN's encoder: 128 numbers a structure; needs coordinates", TORCH, BOTH),
    "antibody:Antibody": ("antiberty", "AntiBERTy: 25.8M weights, 512 numbers; sequences of antibodies", HF, BOTH),
    "hf:HF": ("hf-structure", "any protein language model of transformers: base.id is a hub id or path", HF, BOTH),
    "graph:Graph": ("gnn-structure", "a small graph network that turning does not change, from scratch", TORCH, BOTH),
    "kmers:Kmer": ("structure-kmers", "counts of short runs of residues and the backbone's shape", (), ("vector",)),
}
SUMMARY = "protein structures (PDB, mmCIF, BinaryCIF; a row a file, chain or domain) and sequences (FASTA)"
NEAR = Near("speciate_pdb.near:signatures", threshold=0.12, band=2)
USES: dict[str, Any] = {name: f"speciate_pdb.{name}:{name}" for name in ("example", "demo", "preview", "augment")}


@hookimpl
def speciate_formats() -> list[Format]:
    known: dict[str, Any] = {"magic": HEADS, "near": NEAR, "options": options.StructureOptions, "requires": ("Bio",)}
    reader, beside = "speciate_pdb.reader:StructureReader", ("domains.csv",)
    return [Format("pdb", SUMMARY, STRUCTURE, PATTERNS, reader, install=PIP, companions=beside, **USES, **known)]


@hookimpl
def speciate_bases() -> list[Base]:
    made = [(it, getattr(options, f"{it.partition(':')[2]}Options"), *BASES[it]) for it in BASES]
    return [Base(n, s, STRUCTURE, f"speciate_pdb.{it}", own, w, PIP, g) for it, own, n, s, w, g in made]


@hookimpl
def speciate_recipes() -> list[str]:
    return ["pkg://speciate_pdb.conf"]
