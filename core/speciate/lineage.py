"""What a model has learnt from, so that nothing is judged on rows that it, or a teacher of it, has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from speciate.contracts import Engine, Row
from speciate.errors import SpeciateError
from speciate.model import Model

__all__ = ["judged_fairly", "teachers"]


def teachers(model: Model) -> list[str]:
    """The models whose answers a model has learnt from, as its config names them."""
    return [str(name) for name in model.info["method"].get("teacher", ()) if not str(name).startswith("openai:")]


def judged_fairly(engine: Engine, model: Model, test: Sequence[Row], find: Callable[[str], Model]) -> list[str]:
    """Raise SpeciateError where a model, or a teacher of it, learnt from any of these rows; what could not be checked.

    A row is known by the hash of its content, so one that came into another dataset as well is found there, too.
    """
    wanted, unknown = {row["id"] for row in test}, []
    for one, ids in _learnt(engine, model, find):
        if ids is None:
            unknown.append(one)
        elif seen := wanted & ids:
            exists = f"it learnt from {len(seen)} of the {len(wanted)} rows that this run is judged on"
            do = "train it on this dataset's own splits, or take another teacher"
            raise SpeciateError(f"model {one!r} cannot be a teacher here", exists, do)
    return unknown


def _learnt(engine: Engine, model: Model, find: Callable[[str], Model]) -> Iterator[tuple[str, set[str] | None]]:
    """A model and the ids it learnt from, then the same of its teachers; None where this workspace cannot tell."""
    at: dict[str, Any] = model.info.get("dataset", {})
    try:
        rows = engine.dataset(at.get("name", ""), at.get("version")).rows(content=False)
    except (SpeciateError, OSError, ValueError):
        yield model.name, None
    else:
        yield model.name, {row["id"] for row in rows if row["split"] != "test"}
    for name in teachers(model):
        try:
            teacher = find(name)
        except SpeciateError:
            yield name, None
        else:
            yield from _learnt(engine, teacher, find)
