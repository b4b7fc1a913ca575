"""The demo: the whole walk on public data that a format's plugin names, from raw files to a real server's answer."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from speciate.catalog import installed
from speciate.contracts import Demo, Format
from speciate.errors import SpeciateError, UsageError
from speciate.packages import asker
from speciate.progress import StageClock
from speciate.workspace import Workspace

__all__ = ["show"]


def show(format: str, yes: bool, keep: Path | None, quiet: bool) -> dict[str, Any]:
    """Everything a newcomer would type, timed, in a folder that is gone afterwards."""
    catalog = installed()
    declared = catalog.get(Format, format)
    if not declared.demo:
        there = ", ".join(f.name for f in catalog.all(Format) if f.demo) or "none"
        raise UsageError(f"format {format!r} has no demo", f"there is one of: {there}", "type `speciate demo NAME`")
    clock = StageClock(quiet)
    with _folder(keep) as folder:
        with clock.stage("download"):
            demo: Demo = catalog.use(declared, "demo")(folder / "data", asker(yes))
        _tell(quiet, f"{demo.title}\n{demo.licence}")
        workspace = Workspace(folder / "workspace", quiet=quiet)
        with clock.stage("add"):
            for files in demo.add:
                added = workspace.add("demo", *files["paths"], **{k: v for k, v in files.items() if k != "paths"})
        _tell(quiet, f"{added.rows} rows, labels: {', '.join(added.labels)}")
        with clock.stage("run"):
            ran = workspace.run(demo.recipe, dataset="demo", **demo.settings)
        with clock.stage("promote"):
            workspace.promote(ran.model, "demo")
        with clock.stage("serve"):
            url, answer = _ask_server(workspace.root, demo.question)
    seconds = {**clock.seconds, "total": round(sum(clock.seconds.values()), 1)}
    run_seconds = {f"run: {name}": value for name, value in ran.seconds.items()}
    return {**asdict(ran), "seconds": {**run_seconds, **seconds}, "url": url, "answer": answer}


def _ask_server(root: Path, question: Path) -> tuple[str, str]:
    """One request to a server in a process of its own, as production would have it."""
    command = [sys.executable, "-m", "speciate", "serve", "demo", "--port", "0", "--json", "-w", str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise SpeciateError(
                    "the server did not start", f"exit code {server.wait()}", "type `speciate serve demo`"
                )
            url = f"{json.loads(line)['url'].rstrip('/')}/v1/predict/demo?filename={question.name}"
            request = urllib.request.Request(url, question.read_bytes(), {"content-type": "application/octet-stream"})  # noqa: S310
            with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
                answer = json.load(response)["output"]
        finally:
            server.terminate()
    said = {key: value for key, value in answer.items() if key != "scores"}
    return url, json.dumps(said)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    path = Path(tempfile.mkdtemp(prefix="speciate-demo-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _tell(quiet: bool, text: str) -> None:
    if not quiet:
        print(text, file=sys.stderr)  # noqa: T201
