"""The conformance kit, on all that the plugin declares."""

import importlib.util
from types import MappingProxyType

import made
import numpy as np
import pytest

from speciate.testing import BaseContract, FormatContract, MethodContract
from speciate_pdb.options import StructureOptions
from speciate_pdb.reader import StructureReader

FASTA = ">a class=toxin\nMKCNKLIPLFYKTCPAGKNLCYKM\n>b class=kinase\nMGSNKSKPKDASQRRRSLEPAENVHG\nAGG\n"


def sequences(folder):
    """Files without coordinates."""
    (folder / "tips.faa").write_text(FASTA)
    (folder / "more.fasta").write_text(">c\nGIVEQCCTSICSLYQLENYCN\n>d\nFVNQHLCGSHLVEALYLVCGERGFFYTPKT\n")
    return [folder / "tips.faa", folder / "more.fasta"]


class TestPDB(FormatContract):
    name = "pdb"


class TestChains(FormatContract):
    name = "pdb"
    options = MappingProxyType({"rows": "chain", "ligands": True, "engine": "biopython"})


class TestSequences(FormatContract):
    name = "pdb"

    def files(self, folder):
        return sequences(folder)


@pytest.mark.skipif(not made.mpnn_there(), reason="ProteinMPNN's weights are not on this machine")
class TestProteinMPNN(BaseContract):
    name = "proteinmpnn"


class Mixed(BaseContract):
    """Structures and sequences in one dataset."""

    def samples(self, folder):
        reader = StructureReader(StructureOptions())
        alone = [reader.decode(row) for path in sequences(folder) for row in reader.read(path)]
        return super().samples(folder) + alone


class TestKmers(Mixed):
    name = "structure-kmers"


class TestGraph(Mixed):
    name = "gnn-structure"


@pytest.mark.skipif(importlib.util.find_spec("antiberty") is None, reason="antiberty is not installed")
class TestAntiBERTy(Mixed):
    name = "antiberty"


class TestProbeOfResidues(MethodContract):
    name, base, base_options, tasks = "probe", "gnn-structure", MappingProxyType({"width": 16, "layers": 1}), ("tag",)

    def labelled(self, folder, task, labels):
        """Residues that helices, strands and loops like."""
        rng, like = np.random.default_rng(0), {"H": "AELM", "E": "VIYF", "C": "GPNS"}
        rows = []
        for i in range(48):
            label = labels[i % len(labels)]
            sequence = "".join(rng.choice(list(like.get(letter, "DKRT"))) for letter in label)
            rows.append(f">p{i} label={label}\n{sequence}\n")
        path = folder / "easy.fasta"
        path.write_text("".join(rows))
        return [path]
