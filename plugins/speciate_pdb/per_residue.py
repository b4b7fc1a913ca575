"""What the bases with a network have in common, for labels of residues. Imports no torch."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from speciate import Sample

if TYPE_CHECKING:
    import torch

__all__ = ["PerResidue"]


class PerResidue:
    """A PlaceEncoder over what `network` gives: its `by_residue` makes the part that gives places."""

    _loading: threading.Lock
    _placing: torch.nn.Module | None = None

    def network(self) -> Any:
        raise NotImplementedError

    def places(self) -> torch.nn.Module:
        network = self.network()
        with self._loading:
            if self._placing is None:
                self._placing = network.by_residue()
            return self._placing

    def sizes(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        return [(len(sample["sequence"]),) for sample in samples]
