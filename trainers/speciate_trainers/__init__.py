"""Methods: ways to specialise a base, and the tasks they learn. The only room where Lightning is imported."""

from typing import Any

from speciate import Method, TaskKind, hookimpl
from speciate_trainers import options as o

HERE, NEEDS, PIP = "speciate_trainers", ("lightning", "torch"), "speciate[train]"
LORA: dict[str, Any] = {"requires": (*NEEDS, "peft"), "install": "speciate[lora]"}
WORDS: dict[str, Any] = {"needs": "language", "watched": "perplexity", "options": o.GenerateOptions}
TUNED, EVERY = f"{HERE}.tuned:TunedPredictor", ("*",)


@hookimpl
def speciate_tasks() -> list[TaskKind]:
    return [
        _task("classify", "one of the labels", "accuracy"),
        _task("regress", "a number", "mae"),
        _task("generate", "words that go on from a text", "token_f1", **WORDS),
    ]


def _task(name: str, summary: str, primary: str, **more: Any) -> TaskKind:
    return TaskKind(name, summary, f"{HERE}.tasks.{name}:{name.title()}", primary, **more)


@hookimpl
def speciate_methods() -> list[Method]:
    head = "a head on frozen, cached features; its strength is chosen on the dev split"
    all_ = "all weights of the base go on learning, or those above a depth"
    low = "small low-rank additions to the layers of the base learn; the rest stays as it is"
    trained: dict[str, Any] = {"predictor": TUNED, "tasks": EVERY, "features": False}
    probed: dict[str, Any] = {"predictor": f"{HERE}.predictor:ProbePredictor", "tasks": ("classify", "regress")}
    return [
        Method(
            "probe", head, f"{HERE}.probe:ProbeTrainer", **probed, options=o.ProbeOptions, requires=NEEDS, install=PIP
        ),
        Method("full", all_, f"{HERE}.full:FullTrainer", **trained, options=o.FullOptions, requires=NEEDS, install=PIP),
        Method("lora", low, f"{HERE}.lora:LoraTrainer", **trained, options=o.LoraOptions, **LORA),
    ]
