"""The command line: the workspace's verbs, for people and for programs.

`--json` on any command prints one object on stdout; progress and messages go to stderr. Exit codes: 0 done, 1 failed,
2 usage, 3 a gate said no, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated, Any

import typer

import speciate
from speciate.cli import curate, data, models, tools
from speciate.errors import SpeciateError, UsageError

app = typer.Typer(
    name="speciate",
    help="From raw files to a specialised model: proven better, served, and done again tomorrow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for part in (data, curate, models, tools):
    app.add_typer(part.app)
_Misused: Any = typer.BadParameter.__base__  # Typer carries its own copy of click and does not export this name


@app.callback(invoke_without_command=True)
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """From raw files to a specialised model: proven better, served, and done again tomorrow."""
    if version:
        typer.echo(f"speciate {speciate.__version__}")
        raise typer.Exit
    if debug:
        os.environ["SPECIATE_DEBUG"] = "1"


def main() -> None:
    """The entry point: one place where an error becomes three lines, or one JSON object, and an exit code."""
    as_json = "--json" in sys.argv
    try:
        code = app(standalone_mode=False)
    except SpeciateError as error:
        code = _fail(error, as_json)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except _Misused as error:
        context = getattr(error, "ctx", None)
        do = f"type `{context.command_path} --help`" if context else "type `speciate --help`"
        code = _fail(UsageError(error.format_message(), "", do), as_json)
    except Exception as error:
        if os.environ.get("SPECIATE_DEBUG"):
            raise
        asked = f"{type(error).__name__}: {error}".splitlines()[0]
        do = "type `speciate --debug …` for the traceback"
        code = _fail(SpeciateError(asked, "this is a fault of Speciate or of a plugin", do), as_json)
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
