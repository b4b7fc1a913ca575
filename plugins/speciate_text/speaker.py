"""A language model going on from texts: several at once, word by word, each as if it were asked alone."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from speciate.contracts import Said
from speciate_text.dialogue import Dialogue
from speciate_text.language_network import LanguageNetwork
from speciate_text.pooled import batches, padded

__all__ = ["Manner", "Speaker"]

Ids = list[int]
ROWS = 64
UNFINISHED = "\ufffd"  # the bytes of a character that is not whole yet


@dataclass(frozen=True)
class Manner:
    """How to choose the next word: the likeliest one at temperature 0, else by chance among those that together have
    `top_p` of the probability. Each text has dice of its own, thrown from `seed`."""

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


class Speaker:
    """Texts in, what follows them out."""

    def __init__(self, network: LanguageNetwork, dialogue: Dialogue, batch_tokens: int) -> None:
        self.network, self.dialogue = network, dialogue
        self.budget = batch_tokens or (4096 if network.device.type == "cpu" else 65_536)

    def say(self, texts: Sequence[str], known: Sequence[str | None], manner: Manner) -> list[Said]:
        """What follows each text; and where it is known what should, how surprising that is."""
        prompts = self.dialogue.prompts(texts)
        wanted = self._coded(known)
        said: list[Any] = [None] * len(texts)
        lengths = [len(p) + max(len(w or ()), manner.max_tokens) for p, w in zip(prompts, wanted, strict=True)]
        for batch in batches(lengths, self.budget):
            for some in (batch[i : i + ROWS] for i in range(0, len(batch), ROWS)):
                found = self._together([prompts[i] for i in some], [wanted[i] for i in some], manner)
                for i, one in zip(some, found, strict=True):
                    said[i] = one
        return said

    def stream(self, text: str, manner: Manner) -> Iterator[str]:
        """What follows a text, in pieces that together are what `say` says."""
        with torch.inference_mode():
            turn = Turn(self.network, self.dialogue.prompts([text]), self.dialogue.pad)
        ids: Ids = []
        given = ""
        for _, token in self._tokens(turn, manner):
            ids.append(token)
            words = self.dialogue.text(ids)
            if not words.endswith(UNFINISHED) and len(words) > len(given):
                yield words[len(given) :]
                given = words
        if rest := self.dialogue.text(ids)[len(given) :]:
            yield rest

    def _coded(self, known: Sequence[str | None]) -> list[Ids | None]:
        coded = iter(self.dialogue.answers([answer for answer in known if answer is not None]))
        return [None if answer is None else next(coded) for answer in known]

    def _together(self, prompts: list[Ids], wanted: list[Ids | None], manner: Manner) -> list[Said]:
        with torch.inference_mode():
            turn = Turn(self.network, prompts, self.dialogue.pad)
            surprises = turn.surprises(wanted)
        ids: list[Ids] = [[] for _ in prompts]
        for row, token in self._tokens(turn, manner):
            ids[row].append(token)
        return [Said(self.dialogue.text(one), *surprises[i]) for i, one in enumerate(ids)]

    @torch.inference_mode()
    def _tokens(self, turn: Turn, manner: Manner) -> Iterator[tuple[int, int]]:
        """(row, token) as they come, until each row has come to an end."""
        dice = [torch.Generator().manual_seed(manner.seed) for _ in range(len(turn.last))]
        chosen: list[int] = []
        rows = list(range(len(turn.last)))  # which of the texts each row of the turn is; -1 once it is over
        for step in range(manner.max_tokens):
            if step:
                turn.read(torch.tensor(chosen, device=turn.device)[:, None])
            chosen = _chosen(self.network.scores(turn.last), manner, dice)
            for place, token in enumerate(chosen):
                if rows[place] >= 0 and token in self.dialogue.stops:
                    rows[place] = -1
                elif rows[place] >= 0:
                    yield rows[place], token
            left = [place for place, row in enumerate(rows) if row >= 0]
            if not left:
                return
            if 2 * len(left) <= len(rows):  # fewer rows are quicker, but to take them out is to copy the rest
                turn.keep(left)
                rows, chosen = ([one[place] for place in left] for one in (rows, chosen))
                dice = [dice[place] for place in left]


class Turn:
    """Texts side by side, padded on the left, with the keys and values of all that was read."""

    def __init__(self, network: LanguageNetwork, prompts: list[Ids], pad: int) -> None:
        self.network, self.device, self.pad = network, network.device, pad
        tokens, mask = padded(prompts, pad, left=True)
        self.mask = None if mask is None else mask.to(self.device)
        self.next = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        self.cache = DynamicCache(config=network.body.config)
        self.last = self._run(tokens.to(self.device), tokens.shape[1])[:, -1]

    def read(self, tokens: Tensor) -> Tensor:
        """Hidden states of [rows, t] tokens more."""
        self.next = self.next + tokens.shape[1]
        if self.mask is not None:
            self.mask = torch.cat([self.mask, self.mask.new_ones(tokens.shape)], dim=1)
        hidden = self._run(tokens, tokens.shape[1])
        self.last = hidden[:, -1]
        return hidden

    def keep(self, rows: list[int]) -> None:
        chosen = torch.tensor(rows, device=self.device)
        self.cache.batch_select_indices(chosen)
        self.next, self.last = self.next[chosen], self.last[chosen]
        self.mask = None if self.mask is None else self.mask[chosen]

    def surprises(self, answers: list[Ids | None]) -> list[tuple[float, int]]:
        """At each answer, and of how many tokens it is; the turn stays where it is."""
        if not any(answers):
            return [(float("nan"), 0)] * len(answers)
        given = [answer or [self.pad] for answer in answers]
        tokens, _ = padded(given, self.pad)
        tokens = tokens.to(self.device)
        hidden = self.last[:, None]
        if tokens.shape[1] > 1:
            ahead = copy.copy(self)
            ahead.cache = copy.deepcopy(self.cache)
            hidden = torch.cat([hidden, ahead.read(tokens[:, :-1])], dim=1)
        lengths = torch.tensor([len(one) for one in given], device=self.device)
        inside = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        each = self.network.surprise(hidden[inside], tokens[inside])
        sums = [float(one.double().sum()) for one in torch.split(each, lengths.tolist())]
        return [(s, len(a)) if a else (float("nan"), 0) for s, a in zip(sums, answers, strict=True)]

    def _run(self, tokens: Tensor, new: int) -> Tensor:
        positions = self.next[:, None] - new + torch.arange(new, device=self.device)
        given = {} if self.mask is None else {"attention_mask": self.mask}
        return self.network.run(
            input_ids=tokens, position_ids=positions.clamp(min=0), past_key_values=self.cache, use_cache=True, **given
        )


def _chosen(scores: Tensor, manner: Manner, dice: Sequence[torch.Generator]) -> list[int]:
    if manner.temperature <= 0:
        greedy: list[int] = scores.argmax(1).tolist()
        return greedy
    likely, order = (scores.cpu().double() / manner.temperature).softmax(1).sort(dim=1, descending=True, stable=True)
    running = likely.cumsum(1)
    likely[running - likely >= manner.top_p] = 0.0  # the first word is always left
    thrown = torch.stack([torch.rand(1, generator=one, dtype=torch.float64) for one in dice])
    places = torch.searchsorted(likely.cumsum(1), thrown * likely.sum(1, keepdim=True), right=True)
    chosen: list[int] = order.gather(1, places.clamp(max=scores.shape[1] - 1))[:, 0].tolist()
    return chosen
