"""Structures as one graph: the residues of a whole batch behind each other, each with its nearest neighbours. Nothing
is filled up, so what a structure becomes does not depend on the ones beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from speciate import Sample
from speciate_pdb.features import places

__all__ = ["Batch", "Residues", "batches", "encode", "flatten", "laid_out", "lengths", "pooled"]

Batch = Mapping[str, torch.Tensor]
SPACING = 3.8  # Angstrom between residues that are laid out in a line, for want of coordinates
ROWS = 1024  # residues whose distances are measured at a time


def flatten(samples: Sequence[Sample], neighbours: int, most: int, whole: bool) -> dict[str, torch.Tensor]:
    """[residues, ...] of all samples: coordinates, places, letters, whose they are, and their neighbours with a mask.

    Only residues with coordinates are taken: with N, CA, C and O where the graph needs the `whole` backbone, else with
    CA. A sample of which nothing is left has all its residues in a line. One of more than `most` comes in pieces.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    linked: list[tuple[torch.Tensor, torch.Tensor]] = []
    start = 0
    for owner, sample in enumerate(samples):
        for part in _pieces(sample, most, whole):
            size = len(part[0])
            parts.append((*part, np.full(size, owner)))
            near, mask = _nearest(torch.from_numpy(part[0][:, 1]), neighbours)
            linked.append((near + start, mask))
            start += size
    names = ("coordinates", "place", "chain", "letter", "residue", "seen", "owner")
    arrays = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    tensors = {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}
    tensors["near"] = torch.cat([near for near, _ in linked])
    tensors["linked"] = torch.cat([mask for _, mask in linked])
    tensors["samples"] = lengths(samples)
    return tensors


def _pieces(sample: Sample, most: int, whole: bool) -> Iterator[tuple[NDArray[Any], ...]]:
    """Coordinates [n, 4, 3], place, chain, letter, residue and whether it was seen, of so many residues at a time."""
    backbone = sample["backbone"]
    finite = np.isfinite(backbone).all(axis=2)
    chosen = np.flatnonzero(finite.all(axis=1) if whole else finite[:, 1])
    seen = bool(len(chosen))
    place = places(sample)
    letters = np.frombuffer(sample["sequence"].encode("ascii", "replace"), np.uint8)
    if seen:
        coordinates = np.where(np.isfinite(backbone), backbone, backbone[:, 1:2])[chosen]
    else:
        chosen = np.arange(len(letters))
        line = np.zeros((len(letters), 4, 3), np.float32)
        line[:, :, 0] = (place * SPACING)[:, None]
        coordinates = line
    for at in range(0, len(chosen), most):
        part = chosen[at : at + most]
        held = np.full(len(part), seen)
        yield (
            coordinates[at : at + most],
            place[part],
            sample["chain"][part],
            letters[part].astype(np.int64),
            part,
            held,
        )


def _nearest(alpha: torch.Tensor, many: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[n, many]: the nearest residues, oneself first, and which of them exist where there are fewer."""
    size, kept = len(alpha), min(many, len(alpha))
    near = torch.zeros((size, many), dtype=torch.int64)
    for at in range(0, size, ROWS):
        gaps = (alpha[at : at + ROWS, None] - alpha[None]).square().sum(-1)
        near[at : at + ROWS, :kept] = gaps.topk(kept, dim=1, largest=False).indices
    mask = torch.zeros((size, many))
    mask[:, :kept] = 1
    return near, mask


def pooled(nodes: torch.Tensor, batch: Batch) -> torch.Tensor:
    """[samples, width]: the mean over each sample's residues."""
    sums = nodes.new_zeros((len(batch["samples"]), nodes.shape[1])).index_add_(0, batch["owner"], nodes)
    counts = torch.bincount(batch["owner"], minlength=len(sums)).clamp(min=1)
    return sums / counts[:, None]


def lengths(samples: Sequence[Sample]) -> torch.Tensor:
    """How many residues each sample has: a network counts samples by it, and knows how long what it lays out is."""
    return torch.tensor([len(sample["sequence"]) for sample in samples], dtype=torch.int64)


def laid_out(nodes: torch.Tensor, owner: torch.Tensor, residue: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """[samples, width, longest]: residues where they stand in their samples; zeros for those that were not seen."""
    longest = int(samples.max()) if len(samples) else 0
    found = nodes.new_zeros((len(samples), longest, nodes.shape[1]))
    return found.index_put((owner, residue), nodes).transpose(1, 2)


class Residues(torch.nn.Module):
    """What a network over flat graphs knows of each residue."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **batch: torch.Tensor) -> torch.Tensor:
        nodes: torch.Tensor = self.network.nodes(**batch)  # type: ignore[operator]  # both networks have it
        return laid_out(nodes, batch["owner"], batch["residue"], batch["samples"])


def batches(samples: Sequence[Sample], most: int) -> Iterator[list[int]]:
    """Indexes of samples that are encoded together: up to so many residues, at least one sample."""
    batch: list[int] = []
    size = 0
    for i, sample in enumerate(samples):
        if batch and size + len(sample["sequence"]) > most:
            yield batch
            batch, size = [], 0
        batch.append(i)
        size += len(sample["sequence"])
    if batch:
        yield batch


def encode(
    network: torch.nn.Module,
    batch: Callable[[Sequence[Sample]], Mapping[str, torch.Tensor]],
    samples: Sequence[Sample],
    width: int,
    most: int,
    tick: Callable[[int], None],
) -> NDArray[np.float32]:
    """`network` over `batch`, in eval mode, a few samples at a time."""
    vectors = np.zeros((len(samples), width), np.float32)
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        for chosen in batches(samples, most):
            given = {name: tensor.to(device) for name, tensor in batch([samples[i] for i in chosen]).items()}
            vectors[chosen] = network(**given).float().cpu().numpy()
            tick(len(chosen))
    return vectors
