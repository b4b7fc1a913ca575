"""Speciate: from a strong base to the model your domain needs; proven better, served, and done again tomorrow.

import speciate
ws = speciate.open("workspace")
ws.add("news", ["train.jsonl"])
ws.run("text/probe", dataset="news")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

from speciate.contracts import (
    Base,
    Demo,
    Evaluator,
    Format,
    Job,
    Method,
    Near,
    NoOptions,
    Preview,
    Quarantined,
    Row,
    Sample,
    Server,
    Store,
    TaskKind,
)
from speciate.errors import GateError, SpeciateError, UsageError
from speciate.hookspecs import hookimpl
from speciate.modality import FRAMES, IMAGE, POINTS, STRUCTURE, TEXT, VOLUME, Array, Modality

if TYPE_CHECKING:
    from pathlib import Path

    from speciate.workspace import Workspace

__all__ = [
    "FRAMES",
    "IMAGE",
    "POINTS",
    "STRUCTURE",
    "TEXT",
    "VOLUME",
    "Array",
    "Base",
    "Demo",
    "Evaluator",
    "Format",
    "GateError",
    "Job",
    "Method",
    "Modality",
    "Near",
    "NoOptions",
    "Preview",
    "Quarantined",
    "Row",
    "Sample",
    "Server",
    "SpeciateError",
    "Store",
    "TaskKind",
    "UsageError",
    "hookimpl",
    "open",
]


def open(path: str | Path | None = None, **kwargs: Any) -> Workspace:
    """The workspace at a path, by default $SPECIATE_WORKSPACE or ./speciate-workspace; made when first used."""
    from speciate.workspace import Workspace

    return Workspace(path, **kwargs)
