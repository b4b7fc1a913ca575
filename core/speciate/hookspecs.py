"""Every hook there is. A plugin is a module under the entry-point group `speciate` that implements some of them:

    from speciate import Format, hookimpl

    @hookimpl
    def speciate_formats():
        return [Format(...)]

The declaring hooks are asked once, when the catalog is built, and must be quick: return values, import nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from speciate.contracts import Base, Evaluator, Format, Method, Server, Store, TaskKind

__all__ = ["hookimpl"]

hookspec = pluggy.HookspecMarker("speciate")
hookimpl = pluggy.HookimplMarker("speciate")


@hookspec
def speciate_formats() -> Iterable[Format]:  # type: ignore[empty-body]
    """Kinds of files this plugin can read."""


@hookspec
def speciate_bases() -> Iterable[Base]:  # type: ignore[empty-body]
    """Weights a run can start from."""


@hookspec
def speciate_tasks() -> Iterable[TaskKind]:  # type: ignore[empty-body]
    """Kinds of things to learn."""


@hookspec
def speciate_methods() -> Iterable[Method]:  # type: ignore[empty-body]
    """Ways to specialise a base."""


@hookspec
def speciate_evaluators() -> Iterable[Evaluator]:  # type: ignore[empty-body]
    """Numbers about predictions."""


@hookspec
def speciate_servers() -> Iterable[Server]:  # type: ignore[empty-body]
    """Ways to serve a model."""


@hookspec
def speciate_stores() -> Iterable[Store]:  # type: ignore[empty-body]
    """Places where rows live."""


@hookspec
def speciate_recipes() -> Iterable[str]:  # type: ignore[empty-body]
    """Packages of YAML with a `recipe` folder in them, as `pkg://package.conf`."""


@hookspec
def speciate_run_started(run: str, config: Mapping[str, Any]) -> None:
    """A run is about to train. Raising stops it."""


@hookspec
def speciate_run_finished(run: str, row: Mapping[str, Any]) -> None:
    """A run's row is written, done or failed."""


@hookspec
def speciate_model_promoted(endpoint: str, model: str) -> None:
    """A name in production now points at this model."""


@hookspec
def speciate_feedback_received(feedback: Mapping[str, Any]) -> None:
    """The outcome of one answer has been stored."""
