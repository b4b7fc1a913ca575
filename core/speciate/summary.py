"""One page about a run: what was asked, what came of it, how it stopped and where everything lies; and its curve."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speciate import card
from speciate.curve import draw
from speciate.errors import SpeciateError
from speciate.files import read_json, write_text
from speciate.journal import METRICS, NOTES, best, metrics, notes

__all__ = ["CURVE", "SUMMARY", "render", "write"]

SUMMARY, CURVE = "summary.md", "curve.svg"
FILES = {
    "run.json": "the config and the version of the data",
    METRICS: "the numbers of each step",
    NOTES: "what it said of itself",
    CURVE: "the numbers as a picture",
    "checkpoints": "to go on from",
}


def write(folder: Path, row: Mapping[str, Any]) -> None:
    """summary.md and curve.svg. They tell of a run that has ended, so that they fail is no reason for it to fail."""
    said = notes(folder)
    picture = draw(
        metrics(folder), folder.name, said.get("score", ""), best(folder, said.get("higher_is_better", True))
    )
    with contextlib.suppress(SpeciateError):
        if picture:
            write_text(folder / CURVE, picture)
        write_text(folder / SUMMARY, render(folder, row))


def render(folder: Path, row: Mapping[str, Any]) -> str:
    """The page, from the run's folder and its row in the ledger (of a run that has none, what is known so far)."""
    plan, said = read_json(folder / "run.json"), notes(folder)
    parts = [f"# {folder.name}", _status(row), _facts(plan["config"], plan, row, said, folder)]
    if row.get("scores"):
        parts += ["## Scores on rows it never saw", card.scored(row["scores"], row["baseline"])]
    if (folder / CURVE).exists():
        parts += ["## How it learnt", f"![numbers by step]({CURVE})"]
    lines = [f"- `{folder / name}`: {what}" for name, what in FILES.items() if (folder / name).exists()]
    if row.get("model"):
        lines.append(f"- `{folder.parent.parent / 'models' / row['model']}`: the model, its card and its receipt")
    return "\n\n".join([*parts, "## Files", "\n".join(lines)]) + "\n"


def _status(row: Mapping[str, Any]) -> str:
    status = row.get("status", "unfinished")
    if status == "done":
        holds = "holds" if row.get("parity", {}).get("holds") else "does NOT hold"
        return f"**done**: its model is `{row['model']}`; parity {holds}."
    error = " ".join(str(row.get("error", "")).split("\n"))
    next_ = "" if status == "pruned" else "Type `speciate resume RUN` to go on."
    return f"**{status}**" + (f": {error}" if error else "") + (f"\n\n{next_}" if next_ else "")


def _facts(
    config: Mapping[str, Any], plan: Mapping[str, Any], row: Mapping[str, Any], said: Mapping[str, Any], folder: Path
) -> str:
    rows = row.get("rows", {}).get("labelled")
    facts = {
        "asked": f"`{' '.join(config.get('overrides', ()))}`",
        "data": f"`{plan['dataset']}` version {plan['version']}" + (f", {rows:,} labelled rows" if rows else ""),
        **{kind: _part(config[kind]) for kind in ("task", "base", "method")},
        "seed": config["seed"],
        "budget": config["budget"],
        "best dev score": _best(folder, said),
        "how it stopped": _stopped(row, said),
        "guarantee": f"{said['guarantee']}: {said['because']}" if "guarantee" in said else "",
        "seconds": _seconds(row.get("seconds", {})),
    }
    lines = [f"| {name} | {value} |" for name, value in facts.items() if value not in ("", None)]
    return "\n".join(["| | |", "| --- | --- |", *lines])


def _part(section: Mapping[str, Any]) -> str:
    """A base, method or task, and what it was told."""
    options = ", ".join(f"{key} {value}" for key, value in section.items() if key != "name" and value not in ("", None))
    return f"`{section['name']}`" + (f": {options}" if options else "")


def _best(folder: Path, said: Mapping[str, Any]) -> str:
    found = best(folder, said.get("higher_is_better", True))
    if not found:
        return ""
    of = f" of {said['steps']}" if "steps" in said else ""
    return f"{said.get('score', 'dev')} {found[1]:.4f} at step {found[0]}{of}"


def _stopped(row: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    if "stopped" in said:
        return str(said["stopped"])
    return f"after all of its {said['steps']} steps" if row.get("status") == "done" and "steps" in said else ""


def _seconds(stages: Mapping[str, float]) -> str:
    if not stages:
        return ""
    each = ", ".join(f"{name} {value:.1f}" for name, value in stages.items() if value >= 0.05)
    return f"{sum(stages.values()):.1f}" + (f": {each}" if each else "")
