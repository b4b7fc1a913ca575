"""Any protein language model of transformers as a base: ESM-2, ProtBERT, ProtT5, on the sequence alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError, hub
from speciate.errors import unknown
from speciate_pdb.options import HFOptions
from speciate_pdb.per_residue import PerResidue

if TYPE_CHECKING:
    import torch

    from speciate_pdb.sequences import ChainNetwork, Chains

__all__ = ["HF"]

VERSION = "hf-structure 1"  # raise it when the same weights would give other vectors
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
SPACED = ("auto", "yes", "no")


class HF(PerResidue):
    """The mean over the residues of every chain."""

    def __init__(self, options: HFOptions) -> None:
        self.precision = hub.resolve(options.precision)
        if options.spaced not in SPACED:
            raise unknown("spacing", options.spaced, SPACED, "type base.spaced=auto")
        if options.max_residues < 1 or options.batch_tokens < 1:
            asked = f"base.max_residues={options.max_residues} base.batch_tokens={options.batch_tokens}"
            raise UsageError(asked, "both are at least 1", "leave them out")
        self.options = options
        self.folder = hub.locate("hf-structure", options.id, options.revision, "facebook/esm2_t12_35M_UR50D")
        self.width = self.place_width = hub.width(self.folder)
        self.tolerance = TOLERANCE[self.precision]
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        chosen, files = self.options, hub.hashes(self.folder, hub.TOKENIZER)
        said = (VERSION, chosen.max_residues, chosen.spaced, chosen.precision, files)
        return hashlib.sha256(repr(said).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        return self._ready().encode(samples, self.width, tick) if samples else np.zeros((0, self.width), np.float32)

    def network(self) -> torch.nn.Module:
        return self._ready().network

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        return self._ready().batch(samples)

    def _ready(self) -> Chains:
        with self._loading:
            return self._chains

    @cached_property
    def _chains(self) -> Chains:
        from speciate_pdb.sequences import Chains

        tokenizer, network = hub.load_tokenizer(self.folder), _encoder(self.folder, self.precision)
        between = _between(tokenizer, self.options.spaced, self.folder)
        special = frozenset(tokenizer.all_special_ids) - {tokenizer.mask_token_id, tokenizer.unk_token_id}

        def ids(sequence: str) -> list[int]:
            return list(tokenizer(between.join(sequence))["input_ids"]) or [tokenizer.pad_token_id or 0]

        chosen = self.options
        padding = tokenizer.pad_token_id or 0
        return Chains(network, ids, special, padding, chosen.max_residues, chosen.batch_tokens)


def _between(tokenizer: Any, spaced: str, folder: Path) -> str:
    """What stands between two letters, so that each is a token that the model knows."""
    for between in {"auto": ("", " "), "yes": (" ",), "no": ("",)}[spaced]:
        ids = tokenizer(between.join(RESIDUES), add_special_tokens=False)["input_ids"]
        letters = [i for i in ids if i != tokenizer.unk_token_id]
        if len(RESIDUES) <= len(letters) == len(ids) <= len(RESIDUES) + 1 and len(set(ids)) >= len(RESIDUES):
            return between
    exists = f"its tokenizer does not take the letters {RESIDUES} one by one"
    raise SpeciateError(f"{folder} is no model of proteins", exists, "give one such as facebook/esm2_t12_35M_UR50D")


def _encoder(folder: Path, precision: str) -> ChainNetwork:
    import torch

    from speciate_pdb.sequences import ChainNetwork

    model = hub.load_model(folder, precision)
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    return ChainNetwork(encoder).to("cuda" if torch.cuda.is_available() else "cpu").eval()
