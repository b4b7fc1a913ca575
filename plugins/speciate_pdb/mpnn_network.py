"""The encoder of ProteinMPNN (Dauparas et al. 2022) over flat graphs; equal to the published one, as a test shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from speciate import SpeciateError
from speciate_pdb.flat import Residues, pooled

__all__ = ["NEIGHBOURS", "Encoder", "load"]

NEIGHBOURS, HIDDEN, BASES, FARTHEST, SCALE = 48, 128, 16, 32, 30.0
# Whose distances an edge knows: of N, CA, C, O and a CB that is computed (0 to 4) at its one end and at the other.
HERE = (1, 0, 2, 3, 4, 1, 1, 1, 1, 0, 0, 0, 4, 4, 3, 0, 2, 3, 4, 2, 3, 4, 2, 3, 2)
THERE = (1, 0, 2, 3, 4, 0, 2, 3, 4, 2, 3, 4, 2, 3, 2, 1, 1, 1, 1, 0, 0, 0, 4, 4, 3)


class Features(nn.Module):
    """What is known of an edge: distances between atoms of two residues, and how far apart they are in the chain."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({"linear": nn.Linear(2 * FARTHEST + 2, BASES)})
        self.edge_embedding = nn.Linear(BASES + BASES * len(HERE), HIDDEN, bias=False)
        self.norm_edges = nn.LayerNorm(HIDDEN)

    def forward(self, xyz: torch.Tensor, place: torch.Tensor, chain: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        along, out = xyz[:, 1] - xyz[:, 0], xyz[:, 2] - xyz[:, 1]
        beta = -0.58273431 * torch.linalg.cross(along, out) + 0.56802827 * along - 0.54067466 * out + xyz[:, 1]
        atoms = torch.cat([xyz, beta[:, None]], dim=1)
        first, second = (torch.tensor(side, device=xyz.device) for side in (HERE, THERE))
        gaps = (atoms[:, None, first] - atoms[near][:, :, second]).square().sum(-1)
        known = self.edge_embedding(torch.cat([self._apart(place, chain, near), _radial(gaps)], dim=-1))
        edges: torch.Tensor = self.norm_edges(known)
        return edges

    def _apart(self, place: torch.Tensor, chain: torch.Tensor, near: torch.Tensor) -> torch.Tensor:
        steps = (place[:, None] - place[near] + FARTHEST).clamp(0, 2 * FARTHEST)
        steps = torch.where(chain[:, None] == chain[near], steps, 2 * FARTHEST + 1)
        apart: torch.Tensor = self.embeddings["linear"](nn.functional.one_hot(steps, 2 * FARTHEST + 2).float())
        return apart


class Layer(nn.Module):
    """Messages from the neighbours to a residue, then new edges."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("1", "2", "3", "11", "12", "13"):
            width = 3 * HIDDEN if name in ("1", "11") else HIDDEN
            self.add_module(f"W{name}", nn.Linear(width, HIDDEN))
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(HIDDEN) for _ in range(3))
        self.dense = nn.ModuleDict({"W_in": nn.Linear(HIDDEN, 4 * HIDDEN), "W_out": nn.Linear(4 * HIDDEN, HIDDEN)})
        self.dropout = nn.Dropout(0.1)

    def forward(
        self, nodes: torch.Tensor, edges: torch.Tensor, near: torch.Tensor, linked: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        gelu = nn.functional.gelu
        message = self._through(nodes, edges, near, ("W1", "W2", "W3")) * linked[..., None]
        nodes = self.norm1(nodes + self.dropout(message.sum(1) / SCALE))
        nodes = self.norm2(nodes + self.dropout(self.dense["W_out"](gelu(self.dense["W_in"](nodes)))))
        message = self._through(nodes, edges, near, ("W11", "W12", "W13"))
        return nodes, self.norm3(edges + self.dropout(message))

    def _through(
        self, nodes: torch.Tensor, edges: torch.Tensor, near: torch.Tensor, names: tuple[str, str, str]
    ) -> torch.Tensor:
        own = nodes[:, None].expand(-1, near.shape[1], -1)
        found = torch.cat([own, edges, nodes[near]], dim=-1)
        for i, name in enumerate(names):
            found = self.get_submodule(name)(nn.functional.gelu(found) if i else found)
        return found


class Encoder(nn.Module):
    """A batch of flat graphs in, one vector for each structure out."""

    def __init__(self) -> None:
        super().__init__()
        self.features = Features()
        self.W_e = nn.Linear(HIDDEN, HIDDEN)
        self.encoder_layers = nn.ModuleList([Layer() for _ in range(3)])

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        return pooled(self.nodes(**batch), batch)

    def by_residue(self) -> Residues:
        return Residues(self)

    def nodes(
        self,
        coordinates: torch.Tensor,
        place: torch.Tensor,
        chain: torch.Tensor,
        near: torch.Tensor,
        linked: torch.Tensor,
        **batch: torch.Tensor,
    ) -> torch.Tensor:
        """[residues, 128]"""
        edges = self.W_e(self.features(coordinates, place, chain, near))
        nodes = edges.new_zeros((len(coordinates), HIDDEN))
        for layer in self.encoder_layers:
            nodes, edges = layer(nodes, edges, near, linked)
        return cast("torch.Tensor", nodes)


def load(file: Path) -> Encoder:
    """The encoder's part of a published checkpoint."""
    try:
        tensors = _tensors(file)
    except Exception as error:  # whatever the loader finds wrong with it
        exists = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpeciateError(
            f"{file} holds no weights of ProteinMPNN", exists, "give v_48_020.pt or its like"
        ) from error
    network = Encoder()
    wanted = network.state_dict()
    there = {name: tensors[name] for name in wanted if name in tensors and tensors[name].shape == wanted[name].shape}
    if len(there) < len(wanted):
        missing = next(name for name in wanted if name not in there)
        exists = f"{missing} is not in it, or has another shape"
        raise SpeciateError(f"{file} holds no weights of ProteinMPNN", exists, "give v_48_020.pt or its like")
    network.load_state_dict(there)
    return network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _tensors(file: Path) -> dict[str, Any]:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(file))
    found = torch.load(file, map_location="cpu", weights_only=True)
    return dict(found.get("model_state_dict", found))


def _radial(squares: torch.Tensor) -> torch.Tensor:
    """[..., pairs] squared distances as [..., pairs * 16] soft steps from 2 to 22 Angstrom."""
    centres = torch.linspace(2.0, 22.0, BASES, device=squares.device)
    steps: torch.Tensor = torch.exp(-(((squares + 1e-6).sqrt()[..., None] - centres) / (20.0 / BASES)).square())
    flat: torch.Tensor = steps.flatten(-2)
    return flat
