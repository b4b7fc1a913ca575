"""Any protein language model of transformers as a base: ESM-2, ProtBERT, ProtT5, on the sequence alone."""

from __future__ import annotations

import functools
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError
from speciate.errors import unknown
from speciate_pdb.options import HFOptions

if TYPE_CHECKING:
    import torch

    from speciate_pdb.sequences import Chains

__all__ = ["HF"]

VERSION = "hf-structure 1"  # raise it when the same weights would give other vectors
RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
KEPT = ("*.safetensors", "config.json", "tokenizer*", "vocab*", "special_tokens_map.json", "*.model")
WIDTHS = ("hidden_size", "d_model", "dim", "n_embd")
TOLERANCE = {"fp32": 1e-4, "bf16": 2e-2}
SPACED = ("auto", "yes", "no")


class HF:
    """The mean over the residues of every chain."""

    def __init__(self, options: HFOptions) -> None:
        if not options.id:
            do = "type base.id=facebook/esm2_t12_35M_UR50D or base.id=FOLDER"
            raise UsageError("base 'hf-structure' needs to know which model", "base.id is empty", do)
        if options.precision not in TOLERANCE:
            raise unknown("precision", options.precision, TOLERANCE, "type base.precision=fp32")
        if options.spaced not in SPACED:
            raise unknown("spacing", options.spaced, SPACED, "type base.spaced=auto")
        if options.max_residues < 1 or options.batch_tokens < 1:
            asked = f"base.max_residues={options.max_residues} base.batch_tokens={options.batch_tokens}"
            raise UsageError(asked, "both are at least 1", "leave them out")
        self.options, self.folder = options, Path(options.id).expanduser()
        if not self.folder.is_dir():
            from speciate_pdb.hub import fetch

            self.folder = fetch(options.id, options.revision)
        self.width = _width(self.folder)
        self.tolerance = TOLERANCE[options.precision]
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        chosen = self.options
        said = (VERSION, chosen.max_residues, chosen.spaced, chosen.precision, _hashes(self.folder))
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

        tokenizer, network = _load(self.folder, self.options.precision)
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


def _load(folder: Path, precision: str) -> tuple[Any, Any]:
    """Tokenizer and network, from safetensors only, without transformers' bars and notes."""
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    from speciate_pdb.sequences import ChainNetwork

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **local)
        found = AutoModel.from_pretrained(folder, dtype=kind, use_safetensors=True, output_loading_info=True, **local)
    except (OSError, ValueError, KeyError) as error:
        exists = str(error).splitlines()[0] if str(error) else type(error).__name__
        do = "give a folder with config.json, tokenizer files and *.safetensors"
        raise SpeciateError(f"{folder} cannot be loaded as an encoder", exists, do) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    model, info = found
    missing = sorted(key for key in info["missing_keys"] if not any(p in key for p in ("pooler", "contact_head")))
    if missing:
        exists = f"{len(missing)} of its weights are not in the files, such as {missing[0]}"
        raise SpeciateError(f"{folder} is not a whole encoder", exists, "download it again, or give another model")
    encoder = model.get_encoder() if model.config.is_encoder_decoder else model
    return tokenizer, ChainNetwork(encoder).to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _width(folder: Path) -> int:
    """The length of a vector, from the model's own config."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return next(int(config[name]) for name in WIDTHS if name in config)
    except (OSError, ValueError, TypeError, StopIteration):
        do = "give the folder that holds config.json, tokenizer files and *.safetensors"
        raise SpeciateError(f"{folder} is no encoder of transformers", "its config.json says no width", do) from None


@functools.cache
def _hashes(folder: Path) -> tuple[tuple[str, str], ...]:
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
