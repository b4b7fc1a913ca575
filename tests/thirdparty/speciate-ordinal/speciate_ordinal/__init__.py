"""A task of one's own: labels that have an order, and a score that counts how many steps an answer is off."""

from speciate import Evaluator, TaskKind, hookimpl


@hookimpl
def speciate_tasks():
    return [TaskKind("ordinal", "one of labels in their order", "speciate_ordinal.task:Ordinal", "steps_off")]


@hookimpl
def speciate_evaluators():
    scorer = "speciate_ordinal.task:steps_off"
    return [Evaluator("steps_off", "mean steps from the truth", scorer, ("ordinal",), False, weighted=True)]
