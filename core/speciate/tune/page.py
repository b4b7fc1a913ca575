"""What a search found, for people: a line a trial while it goes on, a table, and a picture."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speciate.files import write_json, write_text
from speciate.svg import Axis, Panel, page, spanning
from speciate.tune.space import Dimension

__all__ = ["PICTURE", "command", "line", "table", "write"]

PICTURE, RESULT, PAGE = "tune.svg", "result.json", "summary.md"
COLUMNS = 3  # of small panels
KINDS = {"done": "dot", "pruned": "ring", "unfinished": "ring"}


def write(folder: Path, result: dict[str, Any], space: Sequence[Dimension]) -> dict[str, Any]:
    write_json(folder / RESULT, result)
    write_text(folder / PICTURE, picture(result, space))
    head, *rows = table(result)
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    best = (
        f"Best: {result['score']} {result['best']['dev']:.4f}.\n\n    {command(result)}\n\n" if result["best"] else ""
    )
    text = f"# {result['tune']}\n\n{result['dataset']}: {result['stopped']}. {best}![]({PICTURE})\n\n"
    write_text(folder / PAGE, text + "\n".join(lines) + "\n")
    return result


def table(result: Mapping[str, Any]) -> list[list[str]]:
    """A head and one row a trial."""
    keys = list(dict.fromkeys(key for row in result["trials"] for key in row["values"]))
    rows = [["trial", "run", "status", f"dev {result['score']}", *keys, "seconds"]]
    for row in result["trials"]:
        dev = "" if row["dev"] is None else f"{row['dev']:.4f}"
        values = [_short(row["values"].get(key, "")) for key in keys]
        rows.append([str(row["trial"]), row["run"], row["status"], dev, *values, f"{row['seconds']:.1f}"])
    return rows


def command(result: Mapping[str, Any]) -> str:
    """What to type for one more run with the best settings."""
    return shlex.join(["speciate", "run", *result["words"]])


def line(result: Mapping[str, Any]) -> str:
    """The trial that has just ended, and the best one so far."""
    row, best = result["trials"][-1], result["best"]
    tried = ", ".join(f"{key} {_short(value)}" for key, value in row["values"].items())
    dev = "" if row["dev"] is None else f", dev {result['score']} {row['dev']:.4f}"
    far = f"; the best is {best['dev']:.4f} of trial {best['trial']}" if best else ""
    return f"trial {row['trial']} is {row['status']}{dev} in {row['seconds']:.1f} s ({tried}){far}"


def picture(result: Mapping[str, Any], space: Sequence[Dimension]) -> str:
    """The score by trial, then a small panel for each setting: the score by its value."""
    rows = [row for row in result["trials"] if row["dev"] is not None and row["status"] in KINDS]
    score = spanning(f"dev {result['score']}", [row["dev"] for row in rows])
    trials = Panel(spanning("trial", [0, len(result["trials"]) + 1]), score, 320 * COLUMNS, 260)
    for row in rows:
        trials.dot((row["trial"], row["dev"]), _kind(row, result), _about(row))
    trials.line(_best_so_far(rows, result["higher_is_better"]), "best")
    rows.sort(key=lambda row: _kind(row, result) == "star")  # over the others
    small = []
    for one in space:
        panel = Panel(_axis(one), score, 320, 220)
        for row in rows:
            if one.key in row["values"]:
                panel.dot((_place(one, row["values"][one.key]), row["dev"]), _kind(row, result), _about(row))
        small.append(panel)
    return page(f"{result['tune']}: {result['score']} on dev by trial, and by each setting", [[trials], *_rows(small)])


def _rows(panels: Sequence[Panel]) -> list[Sequence[Panel]]:
    return [panels[start : start + COLUMNS] for start in range(0, len(panels), COLUMNS)]


def _axis(one: Dimension) -> Axis:
    if one.choices:
        return spanning(one.key, [], names=one.names)
    return spanning(one.key, [one.low, one.high], log=one.log)


def _place(one: Dimension, value: Any) -> float:
    return float(one.choices.index(value)) if one.choices else float(value)


def _kind(row: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    return "star" if result["best"] and row["trial"] == result["best"]["trial"] else KINDS[row["status"]]


def _best_so_far(rows: Sequence[Mapping[str, Any]], higher: bool) -> list[tuple[float, float]]:
    """A stair: it moves where a trial was better than all before it."""
    points: list[tuple[float, float]] = []
    for row in rows:
        if row["status"] != "done":
            continue
        last = points[-1][1] if points else row["dev"]
        points += [(row["trial"], last), (row["trial"], (max if higher else min)(last, row["dev"]))]
    return points


def _about(row: Mapping[str, Any]) -> str:
    tried = ", ".join(f"{key} {_short(value)}" for key, value in row["values"].items())
    return f"trial {row['trial']}, {row['status']}: {row['dev']:.4g} ({tried})"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
