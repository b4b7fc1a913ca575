"""The network of an encoder. The one file of this room that imports torch.

Texts are sorted by length, so that most batches need no padding and no mask. On a CPU each core takes batches of its
own with one thread inside: no core waits for another after every layer, which is a fifth faster on an idle machine and
many times faster on a busy one, and the vectors do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from speciate.hub import load_model, load_tokenizer

__all__ = ["Network"]

CHUNK = 4096  # texts tokenised at a time
Batch = list[int]


class Network:
    """A tokenizer and a transformer; texts in, vectors of length 1 out."""

    def __init__(self, folder: Path, precision: str, pooling: str, max_tokens: int, batch_tokens: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer, self.model = load_tokenizer(folder), load_model(folder, precision).to(self.device)
        self.pooling = pooling
        self.max_tokens = min(max_tokens, self.tokenizer.model_max_length)
        self.budget = batch_tokens or (1024 if self.device.type == "cpu" else 65_536)

    def encode(self, texts: Sequence[str], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.model.config.hidden_size), dtype=np.float32)
        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        pool = ThreadPoolExecutor(workers, initializer=_one_thread if self.device.type == "cpu" else _nothing)
        try:
            for start in range(0, len(texts), CHUNK):
                ids = self._tokens(texts[start : start + CHUNK])
                batches = list(_batches([len(i) for i in ids], self.budget))
                jobs = ([ids[i] for i in batch] for batch in batches)
                for batch, found in zip(batches, pool.map(self._forward, jobs), strict=True):
                    vectors[[start + i for i in batch]] = found
                    tick(len(batch))
        finally:
            pool.shutdown(cancel_futures=True)
        return vectors

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        coded = self.tokenizer(list(texts), truncation=True, max_length=self.max_tokens, return_attention_mask=False)
        return [ids or [self.tokenizer.pad_token_id or 0] for ids in coded["input_ids"]]

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        """One batch, longest first. Pooling is in float32 whatever the network runs in."""
        lengths = torch.tensor([len(i) for i in ids])
        longest = len(ids[0])
        tokens = torch.full((len(ids), longest), self.tokenizer.pad_token_id or 0)
        for row, one in zip(tokens, ids, strict=True):
            row[: len(one)] = torch.tensor(one)
        mask = (torch.arange(longest) < lengths[:, None]).to(self.device)
        given = None if len(ids[-1]) == longest else mask.long()
        hidden = self.model(input_ids=tokens.to(self.device), attention_mask=given).last_hidden_state.float()
        pooled = hidden[:, 0] if self.pooling == "cls" else _mean(hidden, mask)
        vectors: NDArray[np.float32] = torch.nn.functional.normalize(pooled).cpu().numpy()
        return vectors


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.unsqueeze(-1).float()
    return (hidden * weights).sum(1) / weights.sum(1)


def _batches(lengths: Sequence[int], budget: int) -> Iterator[Batch]:
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


def _one_thread() -> None:
    torch.set_num_threads(1)  # holds for the calling thread


def _nothing() -> None:
    pass
