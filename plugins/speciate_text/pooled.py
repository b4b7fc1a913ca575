"""Ids as tensors, and tokens as one vector: what every encoder of transformers here shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Batch", "Pooled", "batches", "padded", "pooled"]

Batch = list[int]


class Pooled(nn.Module):
    """A transformer and its pooling: ids and their mask in, float32 vectors of length 1 out."""

    def __init__(self, model: Any, pooling: str) -> None:
        super().__init__()
        if getattr(model, "pooler", None) is not None:
            model.pooler = None  # nothing of it is used: it would be trained for nothing, and DDP waits for it
        self.model, self.pooling = model, pooling

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        return pooled(hidden, attention_mask, self.pooling)


def pooled(hidden: Tensor, mask: Tensor | None, pooling: str) -> Tensor:
    """In float32 whatever the network runs in. Without a mask every token counts."""
    hidden = hidden.float()
    if pooling == "cls":
        found = hidden[:, 0]
    elif mask is None:
        found = hidden.mean(1)
    else:
        weights = mask.unsqueeze(-1).float()
        found = (hidden * weights).sum(1) / weights.sum(1)
    return nn.functional.normalize(found)


def padded(ids: Sequence[Sequence[int]], pad: int, left: bool = False) -> tuple[Tensor, Tensor | None]:
    """[n, longest] ids and their mask: none where all are of one length."""
    lengths = torch.tensor([len(i) for i in ids])
    longest = int(lengths.max())
    tokens = torch.full((len(ids), longest), pad)
    for row, one in zip(tokens, ids, strict=True):
        row[longest - len(one) if left else 0 :][: len(one)] = torch.tensor(one)
    if int(lengths.min()) == longest:
        return tokens, None
    mask = torch.arange(longest) < lengths[:, None]
    return tokens, (mask.flip(1) if left else mask).long()


def batches(lengths: Sequence[int], budget: int) -> Iterator[Batch]:
    """Indexes by length, longest first; a batch ends when it is full, or a quarter full and the length changes."""
    batch: Batch = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if batch:
            longest = lengths[batch[0]]
            full = (len(batch) + 1) * longest > budget
            if full or (lengths[i] != lengths[batch[-1]] and len(batch) * longest >= budget // 4):
                yield batch
                batch = []
        batch.append(i)
    if batch:
        yield batch
