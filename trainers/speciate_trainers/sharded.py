"""A network's blocks, and tensors of which each rank has a part."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor

__all__ = ["blocks", "like", "whole"]


def blocks(network: nn.Module) -> list[nn.Module]:
    """Of the list of modules that holds the most weights its members, from the input on; or none."""
    best: nn.ModuleList | nn.Sequential | None = None
    most = 0
    for module in network.modules():
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1:
            size = sum(p.numel() for p in module.parameters())
            if best is None or size > most * 1.01 or (size > most * 0.9 and len(module) > len(best)):
                best, most = module, size
    return list(best) if best is not None else []


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor, on every rank."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, there: Tensor) -> Tensor:
    """A whole tensor cut up as another one is."""
    return distribute_tensor(tensor, there.device_mesh, there.placements) if isinstance(there, DTensor) else tensor
