"""How a dataset looks in a notebook: one small table that needs nothing but itself, everything in it escaped, with what
the format shows of each row (which runs no script: it stands in a frame that may not)."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from speciate import Row
from speciate.catalog import Catalog, options_of
from speciate.contracts import Format, Preview

__all__ = ["page", "previews"]

PREVIEW_SECONDS = 5.0  # for all rows of a page; those after have none
PREVIEW_BYTES = 1 << 20  # of one
CELL = 120  # characters of a value
BARS = 12  # labels shown
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def page(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Row],
    counts: Mapping[str, Mapping[str, int]],
    shown: Sequence[str] = (),
) -> str:
    """A title, a bar of each count, and the first rows, each behind its preview where there are some."""
    names = [*(["preview"] if shown else []), *columns]
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in names)
    before = [f"<td>{preview}</td>" for preview in shown] or [""] * len(rows)
    lines = zip(before, rows, strict=True)
    body = "".join(f"<tr>{cell}{''.join(_cell(row.get(name)) for name in columns)}</tr>" for cell, row in lines)
    bars = "".join(_bar(what, values) for what, values in counts.items())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(title)}</b></p>{bars}{table}</div>"


def previews(catalog: Catalog, dataset: Any, rows: Sequence[Row]) -> list[str]:
    """What the format of a dataset shows of some of its rows; nothing where it shows nothing."""
    format = next((format for format in catalog.all(Format) if format.name == dataset.format), None)
    if format is None or not format.preview:
        return []
    found, end = [], time.monotonic() + PREVIEW_SECONDS
    try:
        show, reader = catalog.use(format, "preview"), catalog.use(format, "reader")
        reader = reader(options_of(format, dataset.options))
    except Exception as error:
        return [_failed(error)] * len(rows)
    for row in rows:
        try:
            (whole,) = dataset.filled([row]) if time.monotonic() < end else (None,)
            found.append(_preview(show(whole, reader.decode(whole))) if whole else "")
        except Exception as error:  # the page is there to look at what may be wrong
            found.append(_failed(error))
    return found


def _preview(preview: Preview) -> str:
    if len(preview.png) + len(preview.html) > PREVIEW_BYTES:
        return "too large to show"
    png = base64.b64encode(preview.png).decode()
    image = f"<img style='max-width:160px;max-height:160px' src='data:image/png;base64,{png}'>" if png else ""
    frame = f"<iframe sandbox='' style='border:0;width:240px;height:120px' srcdoc='{escape(preview.html)}'></iframe>"
    return image + (frame if preview.html else "")


def _failed(error: Exception) -> str:
    return escape(_short(f"{type(error).__name__}: {error}"))


def _cell(value: Any) -> str:
    return f"<td style='text-align:left'>{escape(_short(value))}</td>"


def _short(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list | tuple) and len(value) > 8:
        return f"{len(value)} values"
    text = str(value)
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _bar(what: str, counts: Mapping[str, int]) -> str:
    """A line of blocks as wide as their share, with their names and numbers below."""
    shown = dict(sorted(counts.items(), key=lambda item: -item[1])[:BARS])
    total = sum(counts.values())
    if not total:
        return ""
    blocks, words = [], []
    for i, (name, n) in enumerate(shown.items()):
        colour = COLOURS[i % len(COLOURS)]
        style = f"display:inline-block;height:8px;width:{100 * n / total:.2f}%;background:{colour}"
        blocks.append(f"<span style='{style}'></span>")
        words.append(f"<span style='color:{colour}'>■</span> {escape(_short(name))} {n:,}")
    more = f" and {len(counts) - len(shown)} more" if len(counts) > len(shown) else ""
    line = f"<div style='width:400px;font-size:0;white-space:nowrap'>{''.join(blocks)}</div>"
    return f"<div>{escape(what)}: {' '.join(words)}{more}{line}</div>"
