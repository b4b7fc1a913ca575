"""The tasks, as declarations: like the room's own module it imports nothing heavy."""

from __future__ import annotations

from typing import Any

from speciate import TaskKind
from speciate_trainers import options as o
from speciate_trainers.tasks import options as t

__all__ = ["tasks"]

WORDS: dict[str, Any] = {"needs": "language", "watched": "perplexity", "options": t.GenerateOptions}


def tasks() -> list[TaskKind]:
    return [
        _task("classify", "one of the labels", "accuracy"),
        _task("multilabel", "any number of the labels", "label_f1", options=t.MultilabelOptions),
        _task("regress", "a number or several, and how sure each is", "mae", options=t.RegressOptions),
        _task("embed", "vectors that are near where labels are the same", "retrieval_map", options=t.EmbedOptions),
        _task("segment", "a class for each pixel or voxel", "dice", needs="places", options=o.SegmentOptions),
        _task("tag", "a label for each residue", "tag_accuracy", needs="places"),
        _task("generate", "words that go on from a text", "token_f1", **WORDS),
    ]


def _task(name: str, summary: str, primary: str, **more: Any) -> TaskKind:
    return TaskKind(name, summary, f"speciate_trainers.tasks.{name}:{name.title()}", primary, **more)
