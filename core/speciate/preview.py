"""Rows as a person looks at them: one page of HTML that needs nothing but itself."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from speciate.catalog import load
from speciate.contracts import Format, Preview, Reader, Row
from speciate.masks import shown, tinted

__all__ = ["page", "pick"]

STYLE = (
    "body{font:14px sans-serif;margin:24px;background:#fff;color:#222}"
    "main{display:flex;flex-wrap:wrap;gap:16px;align-items:flex-start}"
    "figure{margin:0;width:260px}figure img{max-width:100%;image-rendering:auto}"
    "figcaption{color:#666;overflow-wrap:anywhere}figcaption b{color:#222}"
)
LONGEST = 400  # characters of a text


def pick(rows: Sequence[Row], n: int) -> list[Row]:
    """n rows, spread over all labels and over the whole."""
    step = max(1, len(rows) // max(n, 1))
    ordered = sorted(rows, key=lambda row: (row["label"] is None, row["label"] or "", row["id"]))
    return ordered[step // 2 :: step][:n]


def page(title: str, format: Format, reader: Reader, rows: Iterable[Row]) -> str:
    """A page with a figure for each row."""
    figures = "".join(_figures(format, reader, rows))
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    return (
        f"<!doctype html><html><head>{head}</head><body><h1>{escape(title)}</h1><main>{figures}</main></body></html>\n"
    )


def _figures(format: Format, reader: Reader, rows: Iterable[Row]) -> Iterator[str]:
    look = load(format.preview) if format.preview else None
    for row in rows:
        try:
            inside = _look(look(row, tinted(reader.decode(row), row["label"]))) if look else _text(reader, row)
        except Exception as error:
            inside = f"<p>cannot be shown: {escape(str(error))}</p>"
        yield f"<figure>{inside}<figcaption>{_caption(row)}</figcaption></figure>"


def _look(seen: Preview) -> str:
    """The picture above the words, unless they hold one already."""
    png = base64.b64encode(seen.png).decode()
    return (f"<img src='data:image/png;base64,{png}'>" if png and "<img" not in seen.html else "") + seen.html


def _caption(row: Mapping[str, Any]) -> str:
    label = f"<b>{escape(shown(row['label']))}</b>" if row["label"] is not None else "no label"
    return f"{label}, {escape(str(row['split']))}<br>{escape(str(row['source']))}, row {row['row']}"


def _text(reader: Reader, row: Mapping[str, Any]) -> str:
    """The words of a format without pictures."""
    words = [str(row[name]) for name, kind in reader.schema().items() if kind == "string" and row.get(name)]
    return f"<p>{escape(' '.join(words)[:LONGEST])}</p>"
