"""Commands that look after data: log, diff, tag, audit, preview, search, relabel, drop, export, import, fsck, gc."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from speciate.cli.shared import Json, Where, show
from speciate.files import write_text
from speciate.workspace import Workspace

app = typer.Typer()
Name = Annotated[str, typer.Argument(help="A dataset, as NAME, NAME@VERSION or NAME@TAG.")]
Filter = Annotated[str, typer.Option("--where", help="Which rows, as in \"label = 'x' and words > 2\".")]
Why = Annotated[str, typer.Option(help="The reason, kept in the log.")]
Maybe = Annotated[str, typer.Argument(help="A dataset; all of them by default.")]


@app.command()
def log(name: Name, workspace: Where = None, as_json: Json = False) -> None:
    """Every version of a dataset: who made it, when, and why."""
    show(as_json, {"versions": Workspace(workspace).log(name)}, "logged")


@app.command()
def diff(
    name: Name,
    a: Annotated[str, typer.Argument(help="The older version or tag.")],
    b: Annotated[str, typer.Argument(help="The newer one; by default the newest.")] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """What changed between two versions: rows added, removed, changed, relabelled."""
    show(as_json, Workspace(workspace).diff(name, a, b), "compared")


@app.command()
def tag(
    name: Name,
    tag: Annotated[str, typer.Argument(help="A name for this version; it never moves.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Name a version of a dataset for good: `speciate tag scans@7 gold`."""
    show(as_json, Workspace(workspace).tag(name, tag), "tagged")


@app.command()
def audit(name: Name, workspace: Where = None, as_json: Json = False) -> None:
    """Leakage between splits, balance, missing and doubtful labels, outliers."""
    show(as_json, Workspace(workspace, quiet=as_json).audit(name), "audited")


@app.command()
def preview(
    name: Name,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("preview.html"),
    n: Annotated[int, typer.Option("-n", help="How many rows.")] = 12,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Write a page with some rows of a dataset as pictures or words, to look at in a browser."""
    write_text(out, Workspace(workspace).preview(name, n))
    show(as_json, {"dataset": name, "page": str(out)}, "previewed")


@app.command()
def search(
    name: Name,
    words: Annotated[str, typer.Argument(help="Words to find, or with --like the id of a row.")],
    like: Annotated[bool, typer.Option("--like", help="Find rows like this row, by their cached embeddings.")] = False,
    k: Annotated[int, typer.Option("-k", help="How many.")] = 10,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """The rows that hold these words, or that are most like one row."""
    dataset = Workspace(workspace).dataset(name)
    found = dataset.similar(words, k=k) if like else dataset.search(words, k=k)
    show(as_json, {"rows": found.rows()}, "found")


@app.command()
def relabel(
    name: Name,
    label: Annotated[str, typer.Argument(help="The label these rows shall have.")],
    where: Filter,
    why: Why = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Give rows another label; the old version stays."""
    changed = Workspace(workspace).dataset(name).filter(where)
    count = changed.count()
    show(as_json, {"dataset": name, "rows": count, "version": changed.relabel(label, why=why).version}, "edited")


@app.command()
def drop(name: Name, where: Filter, why: Why = "", workspace: Where = None, as_json: Json = False) -> None:
    """Take rows out; the old version stays."""
    gone = Workspace(workspace).dataset(name).filter(where)
    count = gone.count()
    show(as_json, {"dataset": name, "rows": count, "version": gone.drop(why=why).version}, "edited")


@app.command("export")
def export_(
    name: Name,
    folder: Annotated[str, typer.Argument(help="A folder that is not there yet, or a .parquet or .jsonl file.")],
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """A dataset version as one portable folder, or its rows as a file."""
    dataset = Workspace(workspace).dataset(name)
    writers = {".parquet": dataset.to_parquet, ".jsonl": dataset.to_jsonl}
    path = next((write for end, write in writers.items() if folder.endswith(end)), dataset.export)(folder)
    show(as_json, {"dataset": name, "path": str(path), "rows": dataset.count()}, "exported")


@app.command("import")
def import_(
    folder: Annotated[str, typer.Argument(help="A folder that `export` wrote.")],
    name: Annotated[str, typer.Option(help="Another name for the dataset.")] = "",
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Take in a dataset that `export` wrote: same ids, splits and content."""
    show(as_json, Workspace(workspace).import_folder(folder, name), "imported")


@app.command()
def fsck(name: Maybe = "", workspace: Where = None, as_json: Json = False) -> None:
    """Read everything back and compare it with its hashes (exit 1 if something is damaged)."""
    result = Workspace(workspace, quiet=as_json).fsck(name)
    show(as_json, result, "checked_disk")
    if result["damaged"]:
        raise typer.Exit(1)


@app.command()
def gc(
    name: Maybe = "",
    older_than_days: Annotated[float, typer.Option(help="Keep versions younger than this.")] = 7.0,
    workspace: Where = None,
    as_json: Json = False,
) -> None:
    """Compact tables and clean old versions; never one that is tagged."""
    show(as_json, Workspace(workspace).gc(name, older_than_days), "cleaned")
