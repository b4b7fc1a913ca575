"""A small network over hashed n-grams that starts from nothing: for method=full, on texts of any language."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, UsageError
from speciate_text.hashing import as_bytes, check_lengths, hashed
from speciate_text.options import NgramNetOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = ["NgramNet"]

VERSION = "ngram-net 1"
CHUNK = 256  # texts at a time


class NgramNet:
    """Each n-gram has a vector of its own to learn; their mean goes through two layers. Answers in microseconds."""

    tolerance = 1e-4

    def __init__(self, options: NgramNetOptions) -> None:
        check_lengths(options.low, options.high)
        if options.width < 8 or options.buckets < 256:
            asked = f"base.width={options.width} base.buckets={options.buckets}"
            raise UsageError(asked, "width is at least 8, buckets 256", "type base.width=128 base.buckets=32768")
        self.options, self.width = options, options.width

    def fingerprint(self) -> str:
        return hashlib.sha256(repr((VERSION, self.options)).encode()).hexdigest()

    def network(self) -> nn.Module:
        return self._made

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        import torch

        parts = list(hashed([as_bytes(sample["text"]) for sample in samples], self.options.low, self.options.high))
        owners = np.concatenate([owners for _, owners in parts])
        cells = np.concatenate([hashes for hashes, _ in parts]) % np.uint64(self.options.buckets)
        order = owners.argsort(kind="stable")
        starts = np.searchsorted(owners[order], np.arange(len(samples)))
        return {"cells": torch.from_numpy(cells[order].astype(np.int64)), "starts": torch.from_numpy(starts)}

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        import torch

        vectors = np.zeros((len(samples), self.width), dtype=np.float32)
        network = copy.deepcopy(self._made).eval()  # in eval mode, whatever somebody who trains it does
        device = next(network.parameters()).device
        for start in range(0, len(samples), CHUNK):
            some = samples[start : start + CHUNK]
            with torch.inference_mode():
                given = {name: tensor.to(device) for name, tensor in self.batch(some).items()}
                vectors[start : start + len(some)] = network(**given).cpu().numpy()
            tick(len(some))
        return vectors

    @cached_property
    def _made(self) -> nn.Module:
        from speciate_text.ngram_network import NgramNetwork

        return NgramNetwork(self.options.buckets, self.width, self.options.dropout, self.options.seed)
