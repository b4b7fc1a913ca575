"""Several texts as one sequence: attention within each text alone, so that none sees another and nothing is padded."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

__all__ = ["NAME"]

NAME = "speciate-packed"


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    documents: list[int] | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """transformers' own, but where `documents` says how long each of the texts in [1, heads, tokens, width] is."""
    if documents is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **more)
        return found
    dropout, scale, window = (more.get(name) for name in ("dropout", "scaling", "sliding_window"))
    if len(set(documents)) == 1:  # side by side, which saves a copy
        parts = iter([tuple(_stacked(tensor, documents[0]) for tensor in (query, key, value))])
    else:
        parts = zip(*(torch.split(tensor, documents, dim=2) for tensor in (query, key, value)), strict=True)
    answers = [
        scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=_window(q.shape[2], window, q.device) if window and q.shape[2] > window else None,
            dropout_p=dropout or 0.0,
            is_causal=not (window and q.shape[2] > window),
            scale=scale,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        for q, k, v in parts
    ]
    whole = answers[0] if len(answers) == 1 else torch.cat(answers, dim=2)
    return whole.transpose(1, 2).reshape(1, query.shape[2], *whole.shape[1::2]), None


def _stacked(tensor: Tensor, length: int) -> Tensor:
    """[1, heads, texts * length, width] as [texts, heads, length, width]."""
    return tensor[0].reshape(tensor.shape[1], -1, length, tensor.shape[3]).transpose(0, 1)


def _window(length: int, window: int, device: torch.device) -> Tensor:
    """Each token sees itself and the ones just before it."""
    places = torch.arange(length, device=device)
    back = places[:, None] - places
    return (back >= 0) & (back < window)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
