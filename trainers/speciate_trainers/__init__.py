"""Methods: ways to specialise a base, and the tasks they learn. The only room where Lightning is imported."""

from speciate import Method, TaskKind, hookimpl


@hookimpl
def speciate_tasks() -> list[TaskKind]:
    from speciate_trainers.tasks.declared import tasks

    return tasks()


@hookimpl
def speciate_methods() -> list[Method]:
    from speciate_trainers.declared import methods

    return methods()
