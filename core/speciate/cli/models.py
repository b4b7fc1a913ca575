"""Commands that make models and ask them: run, tune, resume, score, predict, promote, serve, config."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from speciate import world
from speciate.cli.shared import Files, Json, Model, Options, Where, Words, pairs, recipe, show
from speciate.run import Ran
from speciate.workspace import Workspace

app = typer.Typer()


@app.command()
def run(
    words: Words = None,
    many: Annotated[
        bool, typer.Option("--multirun", "-m", help="A run for every combination of values with commas: seed=1,2,3.")
    ] = False,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Specialise a base on a dataset: `speciate run text/probe dataset=NAME`."""
    ws = Workspace(workspace, quiet=as_json)
    if not many:
        _tell(ws.run("", *recipe(words)), as_json)
        return
    result = ws.grid("", *recipe(words))
    show(as_json, result, "gridded")
    if any(row["status"] != "done" for row in result["runs"]):
        raise typer.Exit(1)


@app.command()
def tune(words: Words = None, workspace: Where = None, as_json: Json = False) -> None:
    """Search the best settings: `speciate tune text/lora dataset=NAME space.method.lr=log(1e-5,1e-3) trials=20`."""
    show(as_json, Workspace(workspace, quiet=as_json).tune("", *recipe(words)), "tuned")


@app.command()
def resume(
    run: Annotated[str, typer.Argument(help="A run that is not done.")], workspace: Where = None, as_json: Json = False
) -> None:
    """Go on with a run that was killed or failed."""
    _tell(Workspace(workspace, quiet=as_json).resume(run), as_json)


def _tell(ran: Ran, as_json: bool) -> None:
    """Of several processes that train one run, the first tells."""
    if not world.rank():
        show(as_json, dataclasses.asdict(ran), "ran")


@app.command()
def score(
    model: Model,
    on: Annotated[str, typer.Option(help="DATASET[@VERSION][:SPLIT]; the test split by default.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Scores of a model on a dataset, each with its count and 95% interval."""
    show(as_json, Workspace(workspace, quiet=as_json).score(model, on), "scored")


@app.command()
def predict(model: Model, files: Files, workspace: Where = None, as_json: Json = False) -> None:
    """Answers for files, one for each row in them."""
    result = Workspace(workspace, quiet=as_json).predict(model, *files)
    show(as_json, result, "predicted")
    if result["failed"]:
        raise typer.Exit(1)


@app.command()
def promote(
    model: Model,
    endpoint: Annotated[str, typer.Argument(help="A name in production; made if need be.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Point a name in production at a model, if the gate lets it (exit 3 if it does not)."""
    show(as_json, Workspace(workspace, quiet=as_json).promote(model, endpoint), "promoted")


@app.command()
def serve(
    name: Model,
    host: Annotated[str, typer.Option(help="The address; anything but loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes any free one.")] = 8000,
    token: Annotated[str, typer.Option(envvar="SPECIATE_TOKEN", help="The bearer token a client must send.")] = "",
    option: Options = None,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Serve a model until told to stop; with --json the first line is {"url": …} once it answers."""

    def ready(url: str) -> None:
        line = json.dumps({"url": url}) if as_json else f"{name} answers at {url}  (Ctrl-C stops it)"
        print(line, flush=True)  # noqa: T201

    options = {**pairs(option), **({"token": token} if token else {})}
    Workspace(workspace, quiet=as_json).serve(name, ready, host=host, port=port, **options)


@app.command()
def config(words: Words = None, workspace: Where = None, as_json: Json = False) -> None:
    """The config a run would have, without running it."""
    show(as_json, Workspace(workspace).config("", *recipe(words)).as_dict(), "config")
