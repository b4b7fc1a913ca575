"""The command line: the workspace's verbs, for people and for programs.

`--json` on any command prints one object on stdout; progress and messages go to stderr. Exit codes: 0 done, 1 failed,
2 usage, 3 a gate said no, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import speciate
from speciate.errors import SpeciateError, UsageError
from speciate.workspace import Workspace

app = typer.Typer(
    name="speciate",
    help="From raw files to a specialised model: proven better, served, and done again tomorrow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
plugin_app = typer.Typer(help="Write a plugin, or check one.", no_args_is_help=True)
app.add_typer(plugin_app, name="plugin")

_Misused: Any = typer.BadParameter.__base__  # Typer carries its own copy of click and does not export this name
Where = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", help="The folder to work in; by default $SPECIATE_WORKSPACE or ./speciate-workspace."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Words = Annotated[list[str] | None, typer.Argument(help="A recipe, and settings as key=value.", show_default=False)]


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """From raw files to a specialised model: proven better, served, and done again tomorrow."""
    if version:
        typer.echo(f"speciate {speciate.__version__}")
        raise typer.Exit
    os.environ.setdefault("SPECIATE_DEBUG", "1" if debug else "")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The dataset; made if need be.")],
    paths: Annotated[list[str], typer.Argument(help="Files and folders.")],
    format: Annotated[str, typer.Option(help="The format, when files do not tell.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="An option of the format, as name=value.")
    ] = None,
    target: Annotated[str, typer.Option(help="The column to learn; by default `label` or what usually is.")] = "",
    group: Annotated[str, typer.Option(help="The column whose equal values stay in one split: patient, scene …")] = "",
    split: Annotated[str, typer.Option(help="Put all of these rows in train, dev or test.")] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Add files to a dataset; adding them twice changes nothing."""
    options = dict(_pair(word) for word in option or [])
    added = Workspace(workspace, quiet=as_json).add(
        name, *paths, format=format, options=options, target=target, group=group, split=split
    )
    _print(as_json, dataclasses.asdict(added), "added")


@app.command()
def run(words: Words = None, workspace: Where = None, as_json: Json = False) -> None:
    """Specialise a base on a dataset: `speciate run recipe=text/probe dataset=NAME`."""
    ran = Workspace(workspace, quiet=as_json).run("", *_recipe(words or []))
    _print(as_json, dataclasses.asdict(ran), "ran")


@app.command()
def resume(run: str, workspace: Where = None, as_json: Json = False) -> None:
    """Go on with a run that was killed or failed."""
    _print(as_json, dataclasses.asdict(Workspace(workspace, quiet=as_json).resume(run)), "ran")


@app.command()
def score(
    model: str,
    on: Annotated[str, typer.Option(help="DATASET[@VERSION][:SPLIT]; the test split by default.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Scores of a model on a dataset, each with its count and 95% interval."""
    _print(as_json, Workspace(workspace, quiet=as_json).score(model, on), "scored")


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A model, an endpoint, or a model's folder.")],
    files: Annotated[list[str], typer.Argument(help="Files and folders.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Answers for files, one for each row in them."""
    result = Workspace(workspace, quiet=as_json).predict(model, *files)
    _print(as_json, result, "predicted")
    if result["failed"]:
        raise typer.Exit(1)


@app.command()
def promote(model: str, endpoint: str, workspace: Where = None, as_json: Json = False) -> None:
    """Point a name in production at a model, if the gate lets it."""
    _print(as_json, Workspace(workspace, quiet=as_json).promote(model, endpoint), "promoted")


@app.command()
def serve(
    name: Annotated[str, typer.Argument(help="A model, an endpoint, or a model's folder.")],
    host: str = "127.0.0.1",
    port: int = 8000,
    token: Annotated[
        str, typer.Option(envvar="SPECIATE_TOKEN", help="What a client must send as a bearer token.")
    ] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Serve a model until told to stop; with --json the first line is {"url": …} once it answers."""

    def ready(url: str) -> None:
        print(json.dumps({"url": url}) if as_json else f"{name} answers at {url}  (Ctrl-C stops it)", flush=True)  # noqa: T201

    options = {"token": token} if token else {}
    Workspace(workspace, quiet=as_json).serve(name, ready, host=host, port=port, **options)


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="datasets, runs, models or endpoints; all of them by default.")] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """What the workspace holds."""
    _print(as_json, Workspace(workspace).list(what), "listed")


@app.command()
def show(name: str, workspace: Where = None, as_json: Json = False) -> None:
    """All that is known about a dataset, run, model or endpoint."""
    _print(as_json, Workspace(workspace).show(name), "shown")


@app.command()
def config(words: Words = None, workspace: Where = None, as_json: Json = False) -> None:
    """The config a run would have, without running it."""
    _print(as_json, Workspace(workspace).config("", *_recipe(words or [])).as_dict(), "config")


@app.command()
def plugins(as_json: Json = False) -> None:
    """Every declaration installed here, and plugins that are broken (exit 1 if there are any)."""
    from speciate.catalog import installed

    catalog = installed()
    broken = [dataclasses.asdict(problem) for problem in catalog.problems]
    _print(as_json, {"declarations": catalog.rows(), "broken": broken}, "plugins")
    if broken:
        raise typer.Exit(1)


@app.command()
def doctor(workspace: Where = None, as_json: Json = False) -> None:
    """What is installed, what is missing and how to get it."""
    from speciate.doctor import examine

    _print(as_json, examine(Workspace(workspace)), "doctor")


@app.command()
def demo(
    format: Annotated[str, typer.Argument(help="The format to show.")] = "text",
    yes: Annotated[bool, typer.Option("--yes", help="Download the public data without asking.")] = False,
    keep: Annotated[Path | None, typer.Option(help="Keep the workspace here instead of cleaning up.")] = None,
    as_json: Json = False,
) -> None:
    """The whole walk on public data: add, run, score, promote, serve, ask, clean up."""
    from speciate.demo import show as show_demo

    _print(as_json, show_demo(format, yes, keep, quiet=as_json), "demo")


@plugin_app.command("new")
def plugin_new(
    name: Annotated[str, typer.Argument(help="The format's name, such as fasta.")],
    folder: Annotated[Path, typer.Option(help="Where to write it.")] = Path(),
    as_json: Json = False,
) -> None:
    """Write a complete plugin for a new format, with its test: install it and it is there."""
    from speciate.scaffold import write

    _print(as_json, write(name, folder), "written")


@plugin_app.command("check")
def plugin_check(name: Annotated[str, typer.Argument(help="An installed plugin.")], as_json: Json = False) -> None:
    """Run the conformance kit on every declaration of an installed plugin."""
    from speciate.testing.check import check

    result = check(name)
    _print(as_json, result, "checked")
    if not result["passed"]:
        raise typer.Exit(1)


def main() -> None:
    """The entry point: one place where an error becomes three lines, or one JSON object, and an exit code."""
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except SpeciateError as error:
        code = _fail(error, as_json)
    except typer.Abort:
        code = 130
    except _Misused as error:
        context = getattr(error, "ctx", None)
        do = f"type `{context.command_path} --help`" if context else "type `speciate --help`"
        code = _fail(UsageError(error.format_message(), "", do), as_json)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if os.environ.get("SPECIATE_DEBUG"):
            raise
        message = f"{type(error).__name__}: {error}".splitlines()[0]
        code = _fail(
            SpeciateError(
                message, "this is a fault of Speciate or a plugin", "type `speciate --debug …` for the traceback"
            ),
            as_json,
        )
    raise SystemExit(code or 0)


def _fail(error: SpeciateError, as_json: bool) -> int:
    if os.environ.get("SPECIATE_DEBUG"):
        raise error
    if as_json:
        print(json.dumps({"error": error.as_dict()}))  # noqa: T201
    for mark, line in zip(("error:", "  here:", "    do:"), (error.asked, error.exists, error.do), strict=True):
        if line:
            print(mark, line, file=sys.stderr)  # noqa: T201
    return error.exit_code


def _print(as_json: bool, result: dict[str, Any], page: str) -> None:
    if as_json:
        print(json.dumps(result, ensure_ascii=False, default=str))  # noqa: T201
        return
    from speciate import pages

    getattr(pages, page)(result)


def _recipe(words: list[str]) -> list[str]:
    """`text/probe a=1` and `recipe=text/probe a=1` are the same."""
    return [f"recipe={words[0]}", *words[1:]] if words and "=" not in words[0] else words


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise UsageError(f"cannot read the option {word!r}", "options are words like text=body", "write name=value")
    return key, value
