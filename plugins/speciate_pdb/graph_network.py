"""The network of the base gnn-structure: messages between neighbouring residues, by what turning does not change."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn

from speciate_pdb.features import RESIDUE_FEATURES
from speciate_pdb.flat import Residues, pooled
from speciate_pdb.options import GraphOptions

__all__ = ["GraphNetwork", "made"]

STEPS, FARTHEST, APART = 16, 20.0, 16  # soft steps of distance, up to so many Angstrom; places along the chain


class GraphNetwork(nn.Module):
    """Mean and spread of the residues after a few rounds of messages."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.letters = nn.Embedding(128, width)
        self.measured = nn.Linear(RESIDUE_FEATURES, width)
        self.edges = nn.Linear(STEPS + 2 * APART + 3, width)
        self.messages = nn.ModuleList([_perceptron(3 * width, width) for _ in range(layers)])
        self.updates = nn.ModuleList([_perceptron(2 * width, width) for _ in range(layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(layers)])

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        nodes = self.nodes(**batch)
        mean = pooled(nodes, batch)
        spread = pooled((nodes - mean[batch["owner"]]).square(), batch)
        return torch.cat([mean, (spread + 1e-6).sqrt()], dim=1)

    def by_residue(self) -> Residues:
        return Residues(self)

    def nodes(
        self,
        alpha: torch.Tensor,
        features: torch.Tensor,
        letter: torch.Tensor,
        near: torch.Tensor,
        linked: torch.Tensor,
        **batch: torch.Tensor,
    ) -> torch.Tensor:
        """[residues, width]"""
        nodes = self.letters(letter.clamp(0, 127)) + self.measured(features)
        edges = self.edges(self._edges(alpha, near, batch["place"], batch["chain"], batch["seen"]))
        for message, update, norm in zip(self.messages, self.updates, self.norms, strict=True):
            own = nodes[:, None].expand(-1, near.shape[1], -1)
            told = message(torch.cat([own, nodes[near], edges], dim=-1)) * linked[..., None]
            heard = told.sum(1) / linked.sum(1).clamp(min=1)[:, None]
            nodes = norm(nodes + update(torch.cat([nodes, heard], dim=-1)))
        return cast("torch.Tensor", nodes)

    def _edges(
        self,
        alpha: torch.Tensor,
        near: torch.Tensor,
        place: torch.Tensor,
        chain: torch.Tensor,
        seen: torch.Tensor,
    ) -> torch.Tensor:
        """Distances as soft steps, none where there are no coordinates; how far along the chain; whether it is one."""
        gaps = ((alpha[:, None] - alpha[near]).square().sum(-1) + 1e-6).sqrt()
        centres = torch.linspace(0.0, FARTHEST, STEPS, device=alpha.device)
        soft = torch.exp(-((gaps[..., None] - centres) / (FARTHEST / STEPS)).square()) * seen[:, None, None]
        same = chain[:, None] == chain[near]
        steps = (place[:, None] - place[near]).clamp(-APART, APART) + APART
        along = nn.functional.one_hot(steps, 2 * APART + 1).float() * same[..., None]
        flags = torch.stack([same.float(), seen[:, None].expand_as(same).float()], dim=-1)
        return torch.cat([soft, along, flags], dim=-1)


def _perceptron(width: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, out), nn.SiLU(), nn.Linear(out, out))


def made(options: GraphOptions) -> GraphNetwork:
    """The same weights for the same seed, whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        network = GraphNetwork(options.width, options.layers)
    return network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
