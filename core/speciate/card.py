"""The model card: Markdown for a person, YAML front matter for a machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["render", "table"]

PAGE = """---
library_name: speciate
base_model: {base}
pipeline_tag: {pipeline}
datasets: [{dataset}]
tags: [speciate, {format}, {method}]
metrics: [{metrics}]
---
# {name}

A {method} on `{base}` for {task}, learnt from {labelled} labelled rows of `{dataset}` (version {version}).

## Scores on rows it never saw

{scores}

{report}## What goes in, what comes out

Files of format `{format}`, or rows with: {columns}. {out}

## Parity

On {rows} rows the saved model differs from the trained one by at most {saved:.2e}, the served from the saved by at most
{served:.2e}: the receipt **{holds}**.

    speciate predict {name} FILES... --json
    speciate serve {name}
"""


def render(info: Mapping[str, Any], receipt: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    return PAGE.format(
        name=info["name"],
        base=info["base"]["name"],
        method=info["method"]["name"],
        format=info["format"]["name"],
        task=info["task"],
        pipeline=info["answers"]["pipeline"],
        metrics=", ".join(info["scores"]),
        columns=", ".join(f"`{name}`" for name in info["input"]["columns"]),
        out=info["answers"]["says"],
        dataset=info["dataset"]["name"],
        version=info["dataset"]["version"],
        labelled=info["dataset"]["labelled"],
        scores=scored(info["scores"], info["baseline"]),
        report=f"## {report['title']}\n\n{table(report['table'])}\n\n" if report else "",
        rows=receipt["rows"],
        saved=receipt["max_difference"]["saved"],
        served=receipt["max_difference"]["served"],
        holds="holds" if receipt["holds"] else "does not hold",
    )


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows with the same keys as Markdown; a score with its interval."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        return "undefined" if value["value"] is None else "{value:.4f} ({low:.4f} to {high:.4f})".format(**value)
    if value is None:
        return ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def scored(scores: Mapping[str, Mapping[str, Any]], baseline: Mapping[str, Mapping[str, Any]]) -> str:
    """Scores as a table, each with its interval and what it would be without a model."""
    head = ["| score | value | 95% interval | n | without a model |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*head, *(_line(name, score, baseline[name]) for name, score in scores.items())])


def _line(name: str, score: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"| {name} | undefined on these rows | | {score['n']} | |"
    interval = f"{score['low']:.4f} to {score['high']:.4f}"
    without = "" if baseline["value"] is None else f"{baseline['value']:.4f}"
    return f"| {name} | {score['value']:.4f} | {interval} | {score['n']} | {without} |"
