"""A small graph network from scratch as a base: residues and their neighbours, by distances and angles alone, so that
turning, moving and mirroring the frame of a structure changes nothing it sees but handedness."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_pdb.features import residue_features
from speciate_pdb.options import GraphOptions
from speciate_pdb.per_residue import PerResidue

if TYPE_CHECKING:
    import torch

__all__ = ["Graph"]

VERSION = "gnn-structure 1"  # raise it when the same seed would give other vectors


class Graph(PerResidue):
    """Random weights by seed: a start for training, and a projection of local geometry as it is."""

    tolerance = 1e-4  # measured: 1e-6 on structures alone and in company

    def __init__(self, options: GraphOptions) -> None:
        if min(options.width, options.layers, options.neighbours, options.max_residues) < 1:
            asked = f"base.width={options.width} base.layers={options.layers} base.neighbours={options.neighbours}"
            raise UsageError(asked, "each is at least 1", "type base.width=64 base.layers=3 base.neighbours=16")
        self.options = options
        self.width, self.place_width = 2 * options.width, options.width
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, self.options)).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        from speciate_pdb.flat import encode

        return encode(self.network(), self.batch, samples, self.width, self.options.max_residues, tick)

    def network(self) -> torch.nn.Module:
        with self._loading:
            return self._network

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        import torch

        from speciate_pdb.flat import flatten

        flat = flatten(samples, self.options.neighbours, self.options.max_residues, whole=False)
        measured = [residue_features(sample) for sample in samples]
        start = np.cumsum([0, *(len(one) for one in measured)])
        whose = flat["owner"].numpy()
        features = np.concatenate(measured)[start[whose] + flat["residue"].numpy()]
        kept = ("place", "chain", "letter", "near", "linked", "owner", "residue", "samples", "seen")
        alpha = flat["coordinates"][:, 1]
        return {"alpha": alpha, "features": torch.from_numpy(features), **{name: flat[name] for name in kept}}

    @cached_property
    def _network(self) -> torch.nn.Module:
        from speciate_pdb.graph_network import made

        return made(self.options)
