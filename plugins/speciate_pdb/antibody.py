"""AntiBERTy as a base: a language model of antibodies. Of other proteins it knows nothing.

The tokens are made here from the package's own list of letters: the tokenizer it names would take every residue for an
unknown word today, and say nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from speciate import Sample, SpeciateError, UsageError
from speciate.files import sha256
from speciate.packages import find
from speciate_pdb.options import AntibodyOptions
from speciate_pdb.per_residue import PerResidue

if TYPE_CHECKING:
    import torch

    from speciate_pdb.sequences import ChainNetwork, Chains

__all__ = ["Antibody"]

VERSION = "antiberty 1"  # raise it when the same weights would give other vectors
MODEL = "trained_models/AntiBERTy_md_smooth/pytorch_model.bin"
START, END, UNKNOWN, MASK = "[CLS]", "[SEP]", "[UNK]", "[MASK]"


class Antibody(PerResidue):
    """The mean over the residues of every chain."""

    width = place_width = 512
    tolerance = 1e-4  # measured: 3e-6 on chains alone and in company

    def __init__(self, options: AntibodyOptions) -> None:
        if not 1 <= options.max_residues <= 510 or options.batch_tokens < 1:
            asked = f"base.max_residues={options.max_residues} base.batch_tokens={options.batch_tokens}"
            raise UsageError(asked, "the model has 512 places, two of them for marks", "type base.max_residues=510")
        self.options, self.folder = options, _folder()
        self._loading = threading.Lock()

    def fingerprint(self) -> str:
        chosen = (VERSION, self.options.max_residues, sha256(self.folder / MODEL))
        return hashlib.sha256(repr(chosen).encode()).hexdigest()

    def encode(self, samples: Sequence[Sample], tick: Callable[[int], None]) -> NDArray[np.float32]:
        return self._ready().encode(samples, self.width, tick)

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

        words = (self.folder / "trained_models" / "vocab.txt").read_text(encoding="ascii").split()
        known = {word: place for place, word in enumerate(words)}

        def ids(sequence: str) -> list[int]:
            return [known[START], *(known.get(letter, known[MASK]) for letter in sequence), known[END]]

        special = frozenset(known[word] for word in (START, END, "[PAD]"))
        chosen = self.options
        network = _load(self.folder / MODEL, len(words))
        return Chains(network, ids, special, known["[PAD]"], chosen.max_residues, chosen.batch_tokens)


def _folder() -> Path:
    folder = find("antiberty")
    if folder is None or not (folder / MODEL).is_file():
        exists = f"{folder} does not have them" if folder else "package antiberty is not installed"
        do = "type `pip install antiberty==0.1.3`; later ones come without the weights"
        raise SpeciateError("base 'antiberty' needs its weights", exists, do)
    return folder


def _load(file: Path, words: int) -> ChainNetwork:
    import torch
    from transformers import BertConfig, BertModel

    from speciate_pdb.sequences import ChainNetwork

    sizes = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    model = BertModel(BertConfig(vocab_size=words, max_position_embeddings=512, **sizes), add_pooling_layer=False)
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    held = {name.removeprefix("bert."): value for name, value in tensors.items() if name.startswith("bert.")}
    wanted = model.state_dict()
    missing = sorted(set(wanted) - set(held))
    if missing:
        exists = f"{missing[0]} is not in it"
        raise SpeciateError(f"{file} is not AntiBERTy", exists, "type `pip install antiberty==0.1.3`")
    model.load_state_dict({name: held[name] for name in wanted})
    network = ChainNetwork(model).eval()
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    return network
