"""The Reader of texts: rows of JSONL, CSV, TSV and Parquet files, and whole TXT files.

A row is the text under `text` and every other column as it is. Folder names of TXT files come as `folder`. A chat (a
list of messages with role and content) becomes JSON; where the assistant has the last word, that is the row's label.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from speciate import Row, Sample, SpeciateError
from speciate.errors import did_you_mean
from speciate_text.files import records
from speciate_text.options import TextOptions

__all__ = ["TextReader"]

GUESSES = (
    "text",
    "sentence",
    "content",
    "body",
    "document",
    "message",
    "review",
    "comment",
    "abstract",
    "title",
    "prompt",
    "messages",
)
RESERVED = frozenset({"text", "id", "source", "row", "added_in"})  # ours or the store's; a file's own gets "_" behind
PLAIN = (str, bool, int, float, bytes)


class TextReader:
    """Reads one file of texts."""

    def __init__(self, options: TextOptions) -> None:
        self.options = options

    def schema(self) -> Mapping[str, str]:
        return {"text": "string"}

    def read(self, path: Path) -> Iterator[Row]:
        column = ""
        for place, record in records(path, self.options):
            column = column or self._column(path, record)
            where = f"{place} of {path.name}" if place else path.name
            yield (_chat(record.get(column)) or {"text": _text(record, column, where)}) | _others(record, column)
        if not column:
            exists = "a file needs at least one row of text" + (" under its header" if path.stat().st_size else "")
            raise SpeciateError(f"{path.name} is empty", exists, "leave it out")

    def decode(self, row: Mapping[str, Any]) -> Sample:
        return {"text": row["text"]}

    def _column(self, path: Path, columns: Iterable[str]) -> str:
        """The column that holds the text: the one that was asked for, or the likeliest."""
        lower: dict[str, str] = {}
        for name in columns:
            lower.setdefault(name.strip().lower(), name)
        wanted = self.options.text
        names = sorted(lower.values())
        if wanted and wanted in names:
            return wanted
        for guess in (wanted.lower(),) if wanted else GUESSES:
            if guess in lower:
                return lower[guess]
        asked = f"{path.name} has no column {wanted!r}" if wanted else f"{path.name} has no column that is called text"
        do = f"{did_you_mean(wanted or 'text', names)} type -o text=COLUMN".strip()
        raise SpeciateError(asked, f"its columns are: {_list(names)}", do)


def _text(record: Mapping[str, Any], column: str, where: str) -> str:
    """The text of a row; a row without one would be lost in silence, so it is refused."""
    value = record.get(column)
    if value is None:
        exists = f"its columns are: {_list(k for k, v in record.items() if v is not None)}"
        raise SpeciateError(f"{where} has no {column}", exists, "fill it in, remove the row, or type -o text=COLUMN")
    if isinstance(value, dict | list | bytes):
        exists = f"its {column} is a {type(value).__name__}"
        raise SpeciateError(f"{where} has no text", exists, "type -o text=COLUMN with a column of strings")
    text = str(value)
    if not text or text.isspace():
        raise SpeciateError(f"{where} has no text", f"its {column} is blank", "fill it in or remove it")
    return text


def _chat(value: Any) -> Row | None:
    """Messages as JSON, and what the assistant said last as the label; nothing where it is no chat."""
    messages = value if isinstance(value, list) else ()
    if not messages or not all(isinstance(one, dict) and {"role", "content"} <= one.keys() for one in messages):
        return None
    *before, last = messages
    if before and last["role"] == "assistant":
        return {"text": json.dumps(before, ensure_ascii=False), "label": str(last["content"])}
    return {"text": json.dumps(messages, ensure_ascii=False)}


def _others(record: Mapping[str, Any], column: str) -> Row:
    """The columns beside the text, under names that are free."""
    row: Row = {}
    for name, value in record.items():
        if name == column:
            continue
        free = name or "column"
        while free in RESERVED or (free != name and free in record):
            free += "_"
        row[free] = _plain(value)
    return row


def _plain(value: Any) -> Any:
    """A value as the store keeps it; nested ones as JSON."""
    if value is None or isinstance(value, PLAIN):
        return value
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def _list(names: Iterable[str]) -> str:
    shown = [name if len(name) <= 40 else f"{name[:37]}..." for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")
