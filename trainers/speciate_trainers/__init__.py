"""Methods: ways to specialise a base, and the tasks they learn. The only room where Lightning is imported."""

from typing import Any

from speciate import Method, TaskKind, hookimpl
from speciate_trainers import options as o

HERE, NEEDS = "speciate_trainers", ("lightning", "torch")
PIP: dict[str, Any] = {"requires": NEEDS, "install": "speciate[train]"}
LORA: dict[str, Any] = {"requires": (*NEEDS, "peft"), "install": "speciate[lora]"}
TUNED, EVERY = f"{HERE}.tuned:TunedPredictor", ("*",)


@hookimpl
def speciate_tasks() -> list[TaskKind]:
    return [
        _task("classify", "one of the labels", "accuracy"),
        _task("regress", "a number", "mae"),
    ]


def _task(name: str, summary: str, primary: str, **more: Any) -> TaskKind:
    return TaskKind(name, summary, f"{HERE}.tasks.{name}:{name.title()}", primary, **more)


@hookimpl
def speciate_methods() -> list[Method]:
    head = "a head on frozen, cached features; its strength is chosen on the dev split"
    all_ = "all weights of the base go on learning, or those above a depth"
    low = "small low-rank additions to the layers of the base learn; the rest stays as it is"
    told = "a student learns what a teacher answers: models, an ensemble of them, or an endpoint"
    trained: dict[str, Any] = {"predictor": TUNED, "tasks": EVERY, "features": False}
    probed: dict[str, Any] = {"predictor": f"{HERE}.predictor:ProbePredictor", "tasks": ("classify", "regress")}
    return [
        Method("probe", head, f"{HERE}.probe:ProbeTrainer", **probed, options=o.ProbeOptions, **PIP),
        Method("full", all_, f"{HERE}.full:FullTrainer", **trained, options=o.FullOptions, **PIP),
        Method("lora", low, f"{HERE}.lora:LoraTrainer", **trained, options=o.LoraOptions, **LORA),
        Method("distill", told, f"{HERE}.distill:DistillTrainer", **trained, options=o.DistillOptions, **PIP),
    ]
