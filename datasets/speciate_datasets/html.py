"""How a dataset looks in a notebook: one small table that needs nothing but itself, everything in it escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from speciate import Row

__all__ = ["page"]

CELL = 120  # characters of a value
BARS = 12  # labels shown
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def page(title: str, columns: Sequence[str], rows: Sequence[Row], counts: Mapping[str, Mapping[str, int]]) -> str:
    """A title, a bar of each count, and the first rows."""
    head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(name)) for name in columns)}</tr>" for row in rows)
    bars = "".join(_bar(what, values) for what, values in counts.items())
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(title)}</b></p>{bars}{table}</div>"


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
