"""The network of an encoder at work: texts in, vectors out, as fast as a machine can.

Texts are sorted by length, so that most batches need no padding and no mask. On a CPU each core takes batches of its
own with one thread inside: no core waits for another after every layer, which is a fifth faster on an idle machine and
many times faster on a busy one, and the vectors do not depend on the number of cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from speciate_text.pooled import batches, padded

__all__ = ["Network", "Tokens"]

CHUNK = 4096  # texts tokenised at a time


class Tokens:
    """Texts as lists of ids, cut at `most`."""

    def __init__(self, tokenizer: Any, most: int) -> None:
        self.tokenizer, self.most = tokenizer, min(most, tokenizer.model_max_length)
        self.pad: int = tokenizer.pad_token_id or 0

    def of(self, texts: Sequence[str]) -> list[list[int]]:
        coded = self.tokenizer(list(texts), truncation=True, max_length=self.most, return_attention_mask=False)
        return [ids or [self.pad] for ids in coded["input_ids"]]


class Network:
    """A tokenizer and a module that takes ids and their mask; texts in, its vectors out."""

    def __init__(self, tokens: Tokens, module: nn.Module, width: int, batch_tokens: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokens, self.module, self.width = tokens, module.to(self.device).eval(), width
        self.budget = batch_tokens or (1024 if self.device.type == "cpu" else 65_536)

    def encode(self, texts: Sequence[str], tick: Callable[[int], None]) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.width), dtype=np.float32)
        workers = torch.get_num_threads() if self.device.type == "cpu" else 1
        pool = ThreadPoolExecutor(workers, initializer=_one_thread if self.device.type == "cpu" else _nothing)
        try:
            for start in range(0, len(texts), CHUNK):
                ids = self.tokens.of(texts[start : start + CHUNK])
                parts = list(batches([len(i) for i in ids], self.budget))
                jobs = ([ids[i] for i in batch] for batch in parts)
                for batch, found in zip(parts, pool.map(self._forward, jobs), strict=True):
                    vectors[[start + i for i in batch]] = found
                    tick(len(batch))
        finally:
            pool.shutdown(cancel_futures=True)
        return vectors

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> NDArray[np.float32]:
        tokens, mask = padded(ids, self.tokens.pad)
        given = None if mask is None else mask.to(self.device)
        vectors: NDArray[np.float32] = self.module(tokens.to(self.device), given).cpu().numpy()
        return vectors


def _one_thread() -> None:
    torch.set_num_threads(1)  # holds for the calling thread


def _nothing() -> None:
    pass
