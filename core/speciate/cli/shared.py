"""What the commands share: their common options, and how a result is shown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from speciate.errors import UsageError

Where = Annotated[
    Path | None,
    typer.Option("--workspace", "-w", help="The folder to work in: $SPECIATE_WORKSPACE, or ./speciate-workspace."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Words = Annotated[list[str] | None, typer.Argument(help="A recipe, and settings as key=value.", show_default=False)]
Model = Annotated[str, typer.Argument(help="A model, an endpoint, or a model's folder.")]
Files = Annotated[list[str], typer.Argument(help="Files and folders.")]
Options = Annotated[list[str] | None, typer.Option("--option", "-o", help="An option, as name=value; may be repeated.")]


def show(as_json: bool, result: dict[str, Any], page: str) -> None:
    """One JSON object for a program, or the page of that name for a person."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=str))  # noqa: T201
        return
    from speciate import pages

    getattr(pages, page)(result)


def said(as_json: bool, line: str) -> None:
    """A line of progress that was asked for: to stdout, or beside it where the object goes there."""
    print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def pairs(words: list[str] | None) -> dict[str, str]:
    """name=value words as a dict."""
    for word in words or []:
        if "=" not in word:
            raise UsageError(f"cannot read the option {word!r}", "options are words like text=body", "write name=value")
    return dict(word.split("=", 1) for word in words or [])


def recipe(words: list[str] | None) -> list[str]:
    """`text/probe a=1` and `recipe=text/probe a=1` are the same."""
    return [f"recipe={words[0]}", *words[1:]] if words and "=" not in words[0] else words or []
