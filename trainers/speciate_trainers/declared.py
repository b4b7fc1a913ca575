"""The methods, as declarations: like the room's own module it imports nothing heavy."""

from typing import Any

from speciate import Method
from speciate_trainers import options as o

__all__ = ["methods"]

HERE, PROBED = "speciate_trainers", ("classify", "multilabel", "regress", "tag")
PROBE: dict[str, Any] = {"requires": ("scipy",), "install": "speciate[train]"}
PIP: dict[str, Any] = {"requires": ("lightning", "torch"), "install": "speciate[train]"}
LORA: dict[str, Any] = {"requires": ("lightning", "torch", "peft"), "install": "speciate[lora]"}


def methods() -> list[Method]:
    head = "a head on frozen, cached features; its strength is chosen on rows it has not seen"
    all_ = "all weights of the base go on learning, or those above a depth"
    low = "small low-rank additions to the layers of the base learn; the rest stays as it is"
    told = "a student learns what a teacher answers: models, an ensemble of them, or an endpoint"
    trained: dict[str, Any] = {"predictor": f"{HERE}.tuned:TunedPredictor", "tasks": ("*",), "features": False}
    answers = f"{HERE}.predictor:ProbePredictor"
    return [
        Method("probe", head, f"{HERE}.probe:ProbeTrainer", answers, PROBED, o.ProbeOptions, **PROBE),
        Method("full", all_, f"{HERE}.full:FullTrainer", **trained, options=o.FullOptions, **PIP),
        Method("lora", low, f"{HERE}.lora:LoraTrainer", **trained, options=o.LoraOptions, **LORA),
        Method("distill", told, f"{HERE}.distill:DistillTrainer", **trained, options=o.DistillOptions, **PIP),
    ]
