"""How much a model is surprised at each word that follows, without the scores of all words at all places in memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

__all__ = ["Words", "surprise"]

SCORES_BYTES = 64 << 20  # of scores at a time


class Words(nn.Module):
    """A language model's last layer. It holds the weights of the first one where a model shares them, and is no
    nn.Linear, so that LoRA leaves it alone."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, hidden: Tensor) -> Tensor:
        return linear(hidden, self.weight, self.bias)


def surprise(words: Words, hidden: Tensor, following: Tensor) -> Tensor:
    """[k] in nats, of hidden states [k, width] and the words that follow them [k]."""
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else words.weight.dtype
    found: Tensor = _Surprise.apply(hidden, words.weight, words.bias, following, dtype)  # type: ignore[no-untyped-call]
    return found


class _Surprise(torch.autograd.Function):
    """Where only the hidden states learn, their slope is computed with the loss and the scores are made once."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, following: Tensor, dtype: torch.dtype
    ) -> Tensor:
        learns, shared = ctx.needs_input_grad[0], any(ctx.needs_input_grad[1:3])
        found = hidden.new_empty(len(hidden), dtype=torch.float32)
        slope = torch.empty_like(hidden) if learns and not shared else None
        with torch.autocast(hidden.device.type, enabled=False):
            low = weight.to(dtype)
            for part in _parts(len(hidden), len(weight)):
                scores = linear(hidden[part].to(dtype), low, None if bias is None else bias.to(dtype)).float()
                total, right = scores.logsumexp(1), following[part, None]
                found[part] = total - scores.gather(1, right)[:, 0]
                if slope is not None:
                    slope[part] = (_excess(scores, total, right).to(dtype) @ low).to(hidden.dtype)
        ctx.dtype, ctx.shared = dtype, shared
        ctx.save_for_backward(*((slope,) if slope is not None else (hidden, weight, bias, following)))
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if not ctx.shared:
            (slope,) = ctx.saved_tensors
            return slope * gradient[:, None].to(slope.dtype), None, None, None, None
        hidden, weight, bias, following = ctx.saved_tensors
        low, d_hidden, d_weight = weight.to(ctx.dtype), torch.empty_like(hidden), torch.zeros_like(weight)
        d_bias = None if bias is None else torch.zeros_like(bias)
        for part in _parts(len(hidden), len(weight)):
            some = hidden[part].to(ctx.dtype)
            scores = linear(some, low, None if bias is None else bias.to(ctx.dtype)).float()
            excess = _excess(scores, scores.logsumexp(1), following[part, None]) * gradient[part, None]
            d_hidden[part] = (excess.to(ctx.dtype) @ low).to(hidden.dtype)
            d_weight.addmm_(excess.T.to(weight.dtype), some.to(weight.dtype))
            if d_bias is not None:
                d_bias += excess.sum(0).to(d_bias.dtype)
        return d_hidden, d_weight, d_bias, None, None


def _excess(scores: Tensor, total: Tensor, right: Tensor) -> Tensor:
    """The probability of each word beyond what it should be; in place of the scores."""
    excess = scores.sub_(total[:, None]).exp_()
    return excess.scatter_add_(1, right, excess.new_full(right.shape, -1.0))


def _parts(places: int, words: int) -> list[slice]:
    step = max(16, SCORES_BYTES // (4 * words))
    return [slice(start, start + step) for start in range(0, places, step)]
