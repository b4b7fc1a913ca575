"""The blocks of most language models multiply two branches: silu(gate) * up. Here without a third copy of them for the
slope, which is a seventh of what training keeps of a text."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

__all__ = ["lean"]

PARTS = ("gate_proj", "up_proj", "down_proj")


@torch.no_grad()
def lean(model: nn.Module) -> None:
    """Let its blocks compute so, where they give the very same numbers."""
    for module in model.modules():
        if not all(isinstance(getattr(module, name, None), nn.Linear) for name in PARTS):
            continue
        layer: Any = module
        x = torch.linspace(-2, 2, layer.gate_proj.in_features, device=layer.gate_proj.weight.device)[None]
        x = x.to(layer.gate_proj.weight.dtype)
        before, layer.forward = layer(x), MethodType(_forward, layer)
        if not torch.equal(before, layer(x)):  # another activation, or more than that
            del layer.forward


def _forward(self: Any, x: Tensor) -> Tensor:
    product: Tensor = _Gated.apply(self.gate_proj(x), self.up_proj(x))  # type: ignore[no-untyped-call]
    found: Tensor = self.down_proj(product)
    return found


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return silu(gate) * up

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(slope * up, gate), slope * silu(gate)
