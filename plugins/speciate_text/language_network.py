"""A causal language model as a module to train: vectors of texts, and its surprise at answers to them."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn

from speciate import SpeciateError
from speciate_text.gated import lean
from speciate_text.packed import NAME
from speciate_text.pooled import batches, padded, pooled
from speciate_text.surprise import Words, surprise

__all__ = ["LanguageNetwork"]

PADDED_TOKENS = 4096
CLOSE = 1e-2  # of the largest number: beyond it another text was seen


class LanguageNetwork(nn.Module):
    """`body` makes hidden states, `words` the scores of the words that may follow.

    Weights stay in float32; with `bf16` the arithmetic is in bfloat16, as autocast does it.
    """

    def __init__(self, model: Any, bf16: bool = False) -> None:
        super().__init__()
        layer = model.get_output_embeddings()
        if not isinstance(layer, nn.Linear):
            raise SpeciateError("this is no language model", f"its last layer is {type(layer).__name__}", "")
        with contextlib.suppress(ValueError):  # a model that does not let us is padded
            model.set_attn_implementation(NAME)
        lean(model)
        self.body, self.words, self.bf16 = model.base_model, Words(layer), bf16
        _check(model, self)
        self.packs = self._tried()

    @property
    def device(self) -> torch.device:
        return self.words.weight.device

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        lengths: Tensor | None = None,
        places: Tensor | None = None,
        following: Tensor | None = None,
        owners: Tensor | None = None,
    ) -> Tensor:
        """[n, width] of padded ids and their mask. Or [n, 2] of texts one after the other: the surprise at the words
        `following` the `places`, summed over the texts that are their `owners`, and how many they are."""
        if lengths is None or places is None or following is None or owners is None:
            return pooled(self.run(input_ids=input_ids, attention_mask=attention_mask), attention_mask, "mean")
        hidden = self._hidden(input_ids, lengths.tolist())[places]
        each = self.surprise(hidden, following)
        found = each.new_zeros(len(lengths), 2)
        return found.index_add(0, owners, torch.stack([each, torch.ones_like(each)], dim=1))

    def run(self, **inputs: Any) -> Tensor:
        """Hidden states as the model itself computes them."""
        inputs.setdefault("use_cache", False)
        with self._arithmetic():
            hidden: Tensor = self.body(**inputs).last_hidden_state
        return hidden

    def surprise(self, hidden: Tensor, following: Tensor) -> Tensor:
        """In nats, at each of the words that follow."""
        with self._arithmetic():
            return surprise(self.words, hidden, following)

    def scores(self, hidden: Tensor) -> Tensor:
        with self._arithmetic():
            found: Tensor = self.words(hidden).float()
        return found

    def _hidden(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """[tokens, width] of texts one after the other, each as if it were alone."""
        if self.packs:
            positions = torch.cat([torch.arange(n) for n in lengths]).to(ids.device)
            none = torch.zeros(1, 1, 1, 1, device=ids.device)  # `documents` are the mask: let nobody make another
            given = {"attention_mask": none, "position_ids": positions[None], "documents": lengths}
            return self.run(input_ids=ids[None], **given)[0]
        texts = torch.split(ids, lengths)
        found: list[Any] = [None] * len(texts)
        for some in batches(lengths, PADDED_TOKENS):
            tokens, mask = padded([texts[i].tolist() for i in some], 0)
            given = {} if mask is None else {"attention_mask": mask.to(ids.device)}
            hidden = self.run(input_ids=tokens.to(ids.device), **given)
            for i, row in zip(some, hidden, strict=True):
                found[i] = row[: lengths[i]]
        return torch.cat(found)

    def _arithmetic(self) -> Any:
        if self.bf16:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    @torch.no_grad()
    def _tried(self) -> bool:
        """Whether packed texts do not see each other in this model: not every architecture asks for our attention."""
        alone, self.packs = [[1, 2, 3], [3, 2, 1, 2]], True
        ids = torch.tensor([i for one in alone for i in one], device=self.device)
        try:
            packed = self._hidden(ids, [len(one) for one in alone])
        except (TypeError, ValueError, RuntimeError, KeyError):
            return False
        one_by_one = torch.cat([self.run(input_ids=torch.tensor([one], device=self.device))[0] for one in alone])
        return bool((packed - one_by_one).abs().max() <= CLOSE * one_by_one.abs().max())


@torch.no_grad()
def _check(model: Any, network: LanguageNetwork) -> None:
    """Some models do more to their scores than a last layer; training them here would be wrong."""
    ids = torch.tensor([[1, 2, 3]], device=network.device)
    theirs, ours = model(input_ids=ids).logits.float(), network.scores(network.run(input_ids=ids))
    if (theirs - ours).abs().max() > CLOSE * theirs.abs().max():
        kind = type(model).__name__
        exists = f"{kind} changes its scores after the last layer (soft caps or scales), which is not known here"
        raise SpeciateError("this language model cannot be used", exists, "choose another as base.id")
