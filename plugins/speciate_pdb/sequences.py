"""A language model over the chains of structures. The file that imports torch for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speciate import Sample
from speciate_pdb.flat import laid_out, lengths

__all__ = ["ChainNetwork", "Chains", "TokenNetwork", "chains_of"]


class ChainNetwork(nn.Module):
    """Tokens of chains in, the mean over each sample's residues out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, residues: torch.Tensor, owner: torch.Tensor, samples: torch.Tensor, **batch: torch.Tensor
    ) -> torch.Tensor:
        hidden = self.hidden(**batch)
        sums = hidden.new_zeros((len(samples), hidden.shape[-1]))
        sums = sums.index_add(0, owner, (hidden * residues[..., None]).sum(1))
        counts = residues.new_zeros(len(samples)).index_add(0, owner, residues.sum(1))
        return sums / counts.clamp(min=1)[:, None]

    def by_residue(self) -> TokenNetwork:
        return TokenNetwork(self)

    def hidden(self, tokens: torch.Tensor, attention: torch.Tensor, **batch: torch.Tensor) -> torch.Tensor:
        """[chains, tokens, width]"""
        found: torch.Tensor = self.model(input_ids=tokens, attention_mask=attention).last_hidden_state.float()
        return found


class TokenNetwork(nn.Module):
    """Tokens of chains in, those of each sample's residues out: zeros beyond what is looked at of a chain."""

    def __init__(self, network: ChainNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        residues: torch.Tensor,
        owner: torch.Tensor,
        samples: torch.Tensor,
        start: torch.Tensor,
        **batch: torch.Tensor,
    ) -> torch.Tensor:
        hidden, there = self.network.hidden(**batch), residues > 0
        place = start[:, None] + residues.cumsum(1).long() - 1
        return laid_out(hidden[there], owner[:, None].expand_as(place)[there], place[there], samples)


@dataclass(frozen=True)
class Chains:
    """How sequences become tokens, and how many of them fit into one batch."""

    network: ChainNetwork
    ids: Callable[[str], list[int]]
    special: frozenset[int]  # tokens that stand for no residue
    padding: int
    longest: int  # residues of a chain
    budget: int  # tokens in a batch

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        """Samples as the tensors that the network takes."""
        rows = [(owner, self.ids(chain[: self.longest])) for owner, s in enumerate(samples) for chain in chains_of(s)]
        tokens = torch.full((len(rows), max(len(ids) for _, ids in rows)), self.padding)
        attention = torch.zeros_like(tokens)
        for row, mask, (_, ids) in zip(tokens, attention, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids)
            mask[: len(ids)] = 1
        residues = attention.float()
        for one in self.special:
            residues[tokens == one] = 0
        owner = torch.tensor([owner for owner, _ in rows])
        start = [at for s in samples for at in accumulate(map(len, chains_of(s)[:-1]), initial=0)]
        given = {"tokens": tokens, "attention": attention, "residues": residues, "owner": owner}
        return {**given, "start": torch.tensor(start), "samples": lengths(samples)}

    @torch.inference_mode()
    def encode(self, samples: Sequence[Sample], width: int, tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(samples), width), np.float32)
        self.network.eval()
        device = next(self.network.parameters()).device
        for chosen in self._batches(samples):
            given = {name: tensor.to(device) for name, tensor in self.batch([samples[i] for i in chosen]).items()}
            vectors[chosen] = self.network(**given).cpu().numpy()
            tick(len(chosen))
        return vectors

    def _batches(self, samples: Sequence[Sample]) -> Iterator[list[int]]:
        """Samples of about one length together, the longest first."""
        chains = [[min(len(chain), self.longest) + 2 for chain in chains_of(sample)] for sample in samples]
        batch: list[int] = []
        rows = longest = 0
        for i in sorted(range(len(samples)), key=lambda i: -max(chains[i])):
            if batch and (rows + len(chains[i])) * longest > self.budget:
                yield batch
                batch, rows = [], 0
            longest = longest if batch else max(chains[i])
            batch.append(i)
            rows += len(chains[i])
        if batch:
            yield batch


def chains_of(sample: Sample) -> list[str]:
    """The sequence of each chain; a sample always has one."""
    sequence: str = sample["sequence"]
    chain: NDArray[Any] = sample["chain"]
    ends = [0, *(np.flatnonzero(chain[1:] != chain[:-1]) + 1).tolist(), len(sequence)]
    return [sequence[a:b] for a, b in pairwise(ends)] or [""]
