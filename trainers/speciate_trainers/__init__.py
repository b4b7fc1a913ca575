"""Methods: ways to specialise a base, and the tasks they learn. The only room where Lightning is imported."""

from typing import Any

from speciate import Method, TaskKind, hookimpl
from speciate_trainers import options as o
from speciate_trainers.tasks import options as t

HERE = "speciate_trainers"


@hookimpl
def speciate_tasks() -> list[TaskKind]:
    return [
        _task("classify", "one of the labels", "accuracy"),
        _task("multilabel", "any number of the labels", "label_f1", options=t.MultilabelOptions),
        _task("regress", "a number or several, and how sure each is", "mae", options=t.RegressOptions),
        _task("embed", "vectors that are near where labels are the same", "retrieval_map", options=t.EmbedOptions),
        _task("segment", "a class for each pixel or voxel", "dice", needs="places", options=o.SegmentOptions),
        _task("tag", "a label for each residue", "tag_accuracy", needs="places"),
    ]


def _task(name: str, summary: str, primary: str, **more: Any) -> TaskKind:
    return TaskKind(name, summary, f"{HERE}.tasks.{name}:{name.title()}", primary, **more)


@hookimpl
def speciate_methods() -> list[Method]:
    from speciate_trainers.declared import methods

    return methods()
