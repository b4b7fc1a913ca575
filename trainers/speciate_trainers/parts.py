"""Which part of a base a task is learnt from: the network that gives a vector, or the one that gives places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from speciate import Sample
from speciate.task import Task

__all__ = ["fresh", "part", "sizes_of"]


def part(encoder: Any, task: Task) -> tuple[nn.Module, int]:
    """The network, and how many numbers it gives for a sample or a place."""
    if task.needs == "places":
        return encoder.places(), encoder.place_width
    return encoder.network(), encoder.width


def sizes_of(encoder: Any, task: Task) -> Callable[[Sequence[Sample]], list[tuple[int, ...]]] | None:
    """What says how large samples are, where the task asks."""
    sizes: Callable[[Sequence[Sample]], list[tuple[int, ...]]] | None
    sizes = encoder.sizes if task.needs == "places" else None
    return sizes


def fresh(network: nn.Module) -> tuple[str, ...]:
    """How the names of modules begin that nothing is learnt in yet: they learn whole, whatever the method."""
    return tuple(f"{name}." for name in getattr(network, "fresh", ()))
