"""Commands about Speciate itself: plugins, plugin new, plugin check, doctor, demo."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from speciate.cli.shared import Json, Where, show
from speciate.workspace import Workspace

app = typer.Typer()
plugin_app = typer.Typer(help="Write a plugin, or check one.", no_args_is_help=True)
app.add_typer(plugin_app, name="plugin")


@app.command()
def plugins(as_json: Json = False) -> None:
    """Every declaration installed here, and plugins that are broken (exit 1 if there are any)."""
    from speciate.catalog import installed

    catalog = installed()
    broken = [dataclasses.asdict(problem) for problem in catalog.problems]
    show(as_json, {"declarations": catalog.rows(), "broken": broken}, "plugins")
    if broken:
        raise typer.Exit(1)


@app.command()
def doctor(workspace: Where = None, as_json: Json = False) -> None:
    """What is installed, what is missing and how to get it."""
    from speciate.doctor import examine

    show(as_json, examine(Workspace(workspace)), "doctor")


@app.command()
def demo(
    format: Annotated[str, typer.Argument(help="The format to show.")] = "text",
    yes: Annotated[bool, typer.Option("--yes", help="Download the public data without asking.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the workspace here instead of cleaning up.")] = None,
    as_json: Json = False,
) -> None:
    """The whole walk on public data: add, run, score, promote, serve, ask, clean up."""
    from speciate.demo import show as show_demo

    show(as_json, show_demo(format, yes, keep, quiet=as_json), "demo")


@plugin_app.command("new")
def plugin_new(
    name: Annotated[str, typer.Argument(help="The format's name, such as fasta.")],
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a complete plugin for a new format, with its test: install it and it is there."""
    from speciate.scaffold import write

    show(as_json, write(name, folder), "written")


@plugin_app.command("check")
def plugin_check(name: Annotated[str, typer.Argument(help="An installed plugin.")], as_json: Json = False) -> None:
    """Run the conformance kit on every declaration of an installed plugin."""
    from speciate.testing.check import check

    result = check(name)
    show(as_json, result, "checked")
    if not result["passed"]:
        raise typer.Exit(1)
