"""The model card: Markdown for a person, YAML front matter for a machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["render"]

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

| score | value | 95% interval | n | without a model |
| --- | --- | --- | --- | --- |
{scores}

## What goes in, what comes out

Files of format `{format}`, or rows with: {columns}. {out}

## Parity

On {rows} rows the saved model differs from the trained one by at most {saved:.2e}, the served from the saved by at most
{served:.2e}: the receipt **{holds}**.

    speciate predict {name} FILES... --json
    speciate serve {name}
"""


PIPELINES = {"generate": "text-generation"}
OUT = {"generate": "A text."}


def render(info: Mapping[str, Any], receipt: Mapping[str, Any]) -> str:
    labels = ", ".join(f"`{label}`" for label in info["labels"])
    return PAGE.format(
        name=info["name"],
        base=info["base"]["name"],
        method=info["method"]["name"],
        format=info["format"]["name"],
        task=info["task"],
        pipeline=f"{info['format']['name']}-classification" if info["labels"] else PIPELINES.get(info["task"], "other"),
        metrics=", ".join(info["scores"]),
        columns=", ".join(f"`{name}`" for name in info["input"]["columns"]),
        out=f"One of: {labels}." if labels else OUT.get(info["task"], "A number."),
        dataset=info["dataset"]["name"],
        version=info["dataset"]["version"],
        labelled=info["dataset"]["labelled"],
        scores="\n".join(_line(name, score, info["baseline"][name]) for name, score in info["scores"].items()),
        rows=receipt["rows"],
        saved=receipt["max_difference"]["saved"],
        served=receipt["max_difference"]["served"],
        holds="holds" if receipt["holds"] else "does not hold",
    )


def _line(name: str, score: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
    if score["value"] is None:
        return f"| {name} | undefined on these rows | | {score['n']} | |"
    interval = f"{score['low']:.4f} to {score['high']:.4f}"
    without = "" if baseline["value"] is None else f"{baseline['value']:.4f}"
    return f"| {name} | {score['value']:.4f} | {interval} | {score['n']} | {without} |"
