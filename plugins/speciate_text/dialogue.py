"""Texts and answers as a language model reads them: chat template or plain, as ids, and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from speciate_text.options import LanguageOptions

__all__ = ["Dialogue", "messages_of"]

Ids = list[int]
Messages = list[dict[str, str]]
PROBE = "~answer~"


class Dialogue:
    """A tokenizer, and the form in which it gives a model texts."""

    def __init__(self, tokenizer: Any, options: LanguageOptions, stops: Sequence[int]) -> None:
        self.tokenizer, self.options = tokenizer, options
        self.chat = options.chat == "yes" or (options.chat == "auto" and bool(tokenizer.chat_template))
        self.bos = self._bos()
        self.end = self._end()
        self.stops = frozenset([*stops, *self.end])
        self.pad: int = tokenizer.pad_token_id or next(iter(self.stops), 0)

    def prompts(self, texts: Sequence[str]) -> list[Ids]:
        """Each text up to where its answer begins."""
        asked = [messages_of(text, self.options.system) if self.chat else text for text in texts]
        found = self._ids([self._written(one) for one in asked])
        return [
            ids if len(ids) <= self.options.max_tokens else self._cut(one)
            for one, ids in zip(asked, found, strict=True)
        ]

    def answers(self, answers: Sequence[str]) -> list[Ids]:
        """Each answer, and the sign that it is over."""
        coded = self.tokenizer(list(answers), add_special_tokens=False)["input_ids"] if answers else []
        return [[*ids[: self.options.max_tokens], *self.end] for ids in coded]

    def text(self, ids: Ids) -> str:
        words: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return words

    def _written(self, asked: Messages | str) -> str:
        if isinstance(asked, str):
            return asked + self.options.between
        words: str = self.tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        return words

    def _ids(self, written: Sequence[str]) -> list[Ids]:
        if not written:
            return []
        begin = [] if self.chat else self.bos
        coded = self.tokenizer(list(written), add_special_tokens=False, return_attention_mask=False)["input_ids"]
        return [[*begin, *ids] or [self.pad] for ids in coded]

    def _cut(self, asked: Messages | str) -> Ids:
        """The longest message loses its end, so that what stands around it stays whole."""
        most, lost = self.options.max_tokens, 0
        parts = [{"content": asked}] if isinstance(asked, str) else [dict(message) for message in asked]
        part = max(parts, key=lambda one: len(one["content"]))
        inside: Ids = self.tokenizer(part["content"], add_special_tokens=False)["input_ids"]
        ids: Ids = []
        for _ in range(4):
            part["content"] = self.text(inside[: max(0, len(inside) - lost)])
            (ids,) = self._ids([self._written(parts[0]["content"] if isinstance(asked, str) else parts)])
            if len(ids) <= most:
                return ids
            lost += len(ids) - most
        return ids[-most:]

    def _bos(self) -> Ids:
        """What the tokenizer itself puts before a text."""
        first = self.tokenizer("a")["input_ids"][:1]
        return first if first and first[0] == self.tokenizer.bos_token_id else []

    def _end(self) -> Ids:
        """The one token that ends an answer: what the template writes there, or the end of a text."""
        if self.chat:
            said = [{"role": "user", "content": PROBE}, {"role": "assistant", "content": PROBE}]
            rest = self.tokenizer.apply_chat_template(said, tokenize=False).rpartition(PROBE)[2]
            ids: Ids = self.tokenizer(rest, add_special_tokens=False)["input_ids"]
            if ids and ids[0] in self.tokenizer.all_special_ids:
                return ids[:1]
        return [] if self.tokenizer.eos_token_id is None else [self.tokenizer.eos_token_id]


def messages_of(text: str, system: str) -> Messages:
    """A text that is JSON of chat messages as these messages; any other as what a user says."""
    messages = _listed(text) or [{"role": "user", "content": text}]
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    return messages


def _listed(text: str) -> Messages | None:
    if not text.lstrip().startswith("["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    right = isinstance(found, list) and found and all(_is_message(one) for one in found)
    return [{"role": one["role"], "content": one["content"]} for one in found] if right else None


def _is_message(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("role"), str) and isinstance(one.get("content"), str)
