"""Text: lines, tables and documents, and encoders that turn them into vectors. Declarations only."""

from speciate import TEXT, Base, Format, Near, hookimpl
from speciate_text.options import TextOptions

HERE = "speciate_text"
PATTERNS = ("*.txt", "*.jsonl", "*.ndjson", "*.csv", "*.tsv", "*.parquet")
ZIPPED = tuple(f"{pattern}.gz" for pattern in PATTERNS if pattern != "*.parquet")


@hookimpl
def speciate_formats() -> list[Format]:
    summary = "one text a row (JSONL, CSV, TSV, Parquet) or a file (TXT)"
    reader, example = f"{HERE}.reader:TextReader", f"{HERE}.example:write"
    demo = f"{HERE}.demo:reuters"
    near = Near(f"{HERE}.near:signatures", threshold=0.5, band=4)
    known = (PATTERNS + ZIPPED, reader, (b"PAR1",), TextOptions, near, example, demo)
    return [Format("text", summary, TEXT, *known, sandbox=False)]


@hookimpl
def speciate_bases() -> list[Base]:
    from speciate_text.declared import bases

    return bases()


@hookimpl
def speciate_recipes() -> list[str]:
    return ["pkg://speciate_text.conf"]
