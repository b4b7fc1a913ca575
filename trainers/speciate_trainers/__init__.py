"""Methods: ways to specialise a base, and the tasks they learn. The only room where Lightning is imported."""

from typing import Any

from speciate import Method, TaskKind, hookimpl
from speciate_trainers import options as o

HERE, NEEDS = "speciate_trainers", ("lightning", "torch")
PIP: dict[str, Any] = {"requires": NEEDS, "install": "speciate[train]"}
LORA: dict[str, Any] = {"requires": (*NEEDS, "peft"), "install": "speciate[lora]"}
TUNED, EVERY, PROBED = f"{HERE}.tuned:TunedPredictor", ("*",), ("classify", "multilabel", "regress")


@hookimpl
def speciate_tasks() -> list[TaskKind]:
    from speciate_trainers.tasks.declared import tasks

    return tasks()


@hookimpl
def speciate_methods() -> list[Method]:
    head = "a head on frozen, cached features; its strength is chosen on the dev split"
    all_ = "all weights of the base go on learning, or those above a depth"
    low = "small low-rank additions to the layers of the base learn; the rest stays as it is"
    told = "a student learns what a teacher answers: models, an ensemble of them, or an endpoint"
    trained: dict[str, Any] = {"predictor": TUNED, "tasks": EVERY, "features": False}
    answers = f"{HERE}.predictor:ProbePredictor"
    return [
        Method("probe", head, f"{HERE}.probe:ProbeTrainer", answers, PROBED, o.ProbeOptions, **PIP),
        Method("full", all_, f"{HERE}.full:FullTrainer", **trained, options=o.FullOptions, **PIP),
        Method("lora", low, f"{HERE}.lora:LoraTrainer", **trained, options=o.LoraOptions, **LORA),
        Method("distill", told, f"{HERE}.distill:DistillTrainer", **trained, options=o.DistillOptions, **PIP),
    ]
