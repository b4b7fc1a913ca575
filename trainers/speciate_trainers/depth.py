"""Which of a network's parameters learn, and how fast: by how far they are from the input."""

from __future__ import annotations

from typing import Any

from torch import nn

from speciate import UsageError
from speciate_trainers.options import FullOptions, TrainOptions
from speciate_trainers.sharded import blocks

__all__ = ["grouped", "layered"]


def layered(network: nn.Module, head: nn.Module, options: FullOptions) -> list[dict[str, Any]]:
    """Optimiser groups: the lowest blocks left out, each block slower than the one above it."""
    if not 0 <= options.freeze < 1 or not 0 < options.lr_decay <= 1:
        asked = f"method.freeze={options.freeze} method.lr_decay={options.lr_decay}"
        raise UsageError(asked, "freeze is from 0 to below 1, lr_decay above 0 up to 1", "type method.freeze=0.5")
    depths = _depths(network)
    deepest = max(depths.values(), default=0) + 1
    first = round(options.freeze * deepest)
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if depths[name] >= first and parameter.is_floating_point():
            groups.setdefault(depths[name], []).append(parameter)
    rates = {depth: options.lr * options.lr_decay ** (deepest - depth) for depth in groups}
    return [*({"params": groups[d], "lr": rates[d]} for d in sorted(groups)), *grouped([], head, options)]


def grouped(parameters: list[nn.Parameter], head: nn.Module, options: TrainOptions) -> list[dict[str, Any]]:
    """Parameters at the one rate, and the head at its own."""
    groups: list[dict[str, Any]] = [{"params": parameters, "lr": options.lr}] if parameters else []
    own = list(head.parameters())
    return [*groups, {"params": own, "lr": options.head_lr or options.lr}] if own else groups


def _depths(network: nn.Module) -> dict[str, int]:
    """The block that each parameter is in; what comes before belongs to the first, what comes after to the last."""
    place = {id(p): depth for depth, block in enumerate(blocks(network)) for p in block.parameters()}
    depths, last = {}, 0
    for name, parameter in network.named_parameters():
        depths[name] = last = place.get(id(parameter), last)
    return depths
