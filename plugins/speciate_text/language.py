"""Language models as bases: any causal one of transformers, from a local folder or the hub."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speciate import Sample, hub
from speciate.contracts import Said
from speciate.errors import unknown
from speciate_text.bases import TransformerEncoder
from speciate_text.options import HFLanguageOptions, LanguageOptions

if TYPE_CHECKING:
    from torch import Tensor, nn

    from speciate_text.dialogue import Dialogue
    from speciate_text.network import Network
    from speciate_text.speaker import Speaker

__all__ = ["HFLanguage", "LanguageModel"]

VERSION = "language 1"  # raise it when the same weights would say something else
CHATS = ("auto", "yes", "no")
ELSEWHERE = ("batch_tokens", "download", "id", "revision")  # options that change nothing that is said


class LanguageModel(TransformerEncoder):
    """A LanguageEncoder; its vector of a text is the mean of the last hidden states."""

    def __init__(self, folder: Path, options: LanguageOptions) -> None:
        if options.chat not in CHATS:
            raise unknown("chat", options.chat, CHATS, "type base.chat=auto")
        super().__init__(folder, options)
        self.choices, self._speaking = options, threading.Lock()

    def fingerprint(self) -> str:
        chosen = {name: value for name, value in asdict(self.choices).items() if name not in ELSEWHERE}
        return hashlib.sha256(repr((VERSION, chosen, self.weights())).encode()).hexdigest()

    def weights(self) -> Any:
        """What names the weights and the tokenizer."""
        return hub.hashes(self.folder, hub.TOKENIZER)

    def make(self, precision: str) -> nn.Module:
        """One network for all that is asked of it, in float32: its arithmetic is what may be in another precision."""
        from speciate_text.language_network import LanguageNetwork

        model = hub.load_model(self.folder, kind="AutoModelForCausalLM")
        return LanguageNetwork(model, self.precision == "bf16")

    def batch(self, samples: Sequence[Sample]) -> Mapping[str, Tensor]:
        """Samples with answers one after the other, without padding; others as every encoder has them."""
        if not samples or "answer" not in samples[0]:
            return super().batch(samples)
        import torch

        prompts = self._dialogue.prompts([sample["text"] for sample in samples])
        answers = self._dialogue.answers([sample["answer"] for sample in samples])
        lengths = [len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]
        starts = [s + len(p) for s, p in zip(accumulate(lengths, initial=0), prompts, strict=False)]
        following = torch.cat([torch.arange(s, s + len(a)) for s, a in zip(starts, answers, strict=True)])
        ids = torch.tensor([i for p, a in zip(prompts, answers, strict=True) for i in (*p, *a)])
        owners = torch.repeat_interleave(torch.tensor([len(answer) for answer in answers]))
        more = {"places": following - 1, "following": ids[following], "owners": owners}
        return {"input_ids": ids, "lengths": torch.tensor(lengths), **more}

    def speak(self, samples: Sequence[Sample], **manner: Any) -> list[Said]:
        from speciate_text.speaker import Manner

        if not samples:
            return []
        known = [sample.get("answer") for sample in samples]
        with self._answering() as speaker:
            return speaker.say([sample["text"] for sample in samples], known, Manner(**manner))

    def stream(self, sample: Sample, **manner: Any) -> Iterator[str]:
        from speciate_text.speaker import Manner

        with self._answering() as speaker:
            yield from speaker.stream(sample["text"], Manner(**manner))

    @contextmanager
    def _answering(self) -> Iterator[Speaker]:
        """The network as it is now, out of training for a while."""
        from speciate_text.speaker import Speaker

        with self._loading:
            network: Any = self._made
        with self._speaking:
            training = network.training
            network.eval()
            try:
                yield Speaker(network, self._dialogue, self.options.batch_tokens)
            finally:
                network.train(training)

    @cached_property
    def _network(self) -> Network:
        return self._runner(self._made)

    @cached_property
    def _dialogue(self) -> Dialogue:
        from speciate_text.dialogue import Dialogue

        return Dialogue(self._tokens.tokenizer, self.choices, self.stops())

    def stops(self) -> list[int]:
        """The tokens that end an answer, by the model's own settings."""
        found: list[int] = []
        for name in ("generation_config.json", "config.json"):
            path = self.folder / name
            said = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id") if path.is_file() else None
            found += [said] if isinstance(said, int) else said or []
        return found


class HFLanguage(LanguageModel):
    """Any causal language model of transformers."""

    def __init__(self, options: HFLanguageOptions) -> None:
        super().__init__(hub.locate("hf-language", options.id, options.revision, "HuggingFaceTB/SmolLM2-135M"), options)
