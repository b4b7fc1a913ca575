"""Commands about data: add, list, show."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from speciate.cli.shared import Files, Json, Options, Where, pairs, said, show
from speciate.workspace import Workspace

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="The dataset.")]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The dataset; made if need be.")],
    paths: Files,
    format: Annotated[str, typer.Option(help="The format, when files do not tell.")] = "",
    option: Options = None,
    target: Annotated[str, typer.Option(help="The column to learn; by default `label` or what usually is.")] = "",
    group: Annotated[str, typer.Option(help="The column whose equal values stay in one split: patient, scene …")] = "",
    split: Annotated[str, typer.Option(help="Put all of these rows in train, dev or test.")] = "",
    labels: Annotated[
        str, typer.Option(help="A CSV, JSONL or Parquet file joined by path, name or hash; or `folders`.")
    ] = "",
    reference: Annotated[bool, typer.Option("--reference/--copy", help="Leave large content where it is.")] = False,
    jobs: Annotated[int, typer.Option(help="Processes that read; 0 chooses.")] = 0,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Add files to a dataset; adding them twice changes nothing."""
    added = Workspace(workspace, quiet=as_json).add(
        name,
        *paths,
        format=format,
        options=pairs(option),
        target=target,
        group=group,
        split=split,
        labels=labels,
        reference=reference,
        jobs=jobs,
    )
    show(as_json, dataclasses.asdict(added), "added")


@app.command("list")
def list_(
    what: Annotated[str, typer.Argument(help="datasets, runs, models or endpoints; all of them by default.")] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """What the workspace holds."""
    show(as_json, Workspace(workspace).list(what), "listed")


@app.command("show")
def show_(
    name: Annotated[str, typer.Argument(help="A dataset, run, model or endpoint.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Of a run: its numbers as they come.")] = False,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """All that is known about a dataset, run, model or endpoint."""
    ws = Workspace(workspace)
    show(as_json, ws.follow(name, lambda line: said(as_json, line)) if follow else ws.show(name), "shown")
