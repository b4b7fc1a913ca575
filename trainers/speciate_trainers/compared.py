"""Teacher, student, and the student without a teacher, on the same test rows: score, size and time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from numpy.typing import NDArray

from speciate import Job, Row
from speciate.contracts import Judge
from speciate.task import Examples
from speciate_trainers.teacher import Teacher, timed, weight
from speciate_trainers.tuned import TunedPredictor

__all__ = ["compared"]

TIMED = 24  # test rows that are answered one at a time

Tensors = Mapping[str, NDArray[Any]]


def compared(
    job: Job, test: Examples, teacher: Teacher, student: Tensors, plain: Tensors | None, judge: Judge
) -> dict[str, Any]:
    """`difference` is that of the student to the one without a teacher, resampled together."""
    samples = list(islice(test.each(), TIMED))
    said = judge(teacher.judged(test))
    answers, table = {}, [_row(teacher.name, "teacher", said, teacher.size(), teacher.seconds(samples))]
    for role, tensors in (("student", student), ("student without a teacher", plain)):
        if tensors is None:
            continue
        assert job.encoder is not None
        encoder, predictor = job.encoder(), TunedPredictor(tensors, job.task, job.encoder)
        answers[role] = predictor.predict(test)
        seconds = timed(predictor, job.task, samples, encoder)
        table.append(_row("", role, judge(answers[role]), weight(encoder, tensors, job.task), seconds))
    found: Row = {"title": "What the teacher was worth", "rows": len(test), "higher_is_better": job.higher_is_better}
    if plain is not None:
        found["difference"] = judge(*answers.values())
        for row in table:
            row["more than without"] = None
        table[1]["more than without"] = found["difference"]
    return found | {"table": table}


def _row(
    name: str, role: str, score: Row, size: tuple[int | None, float | None], seconds: float | None
) -> dict[str, Any]:
    return {
        "model": f"{role} {name}".strip(),
        str(score["name"]): {key: value for key, value in score.items() if key != "name"},
        "parameters": size[0],
        "MB": size[1],
        "ms a row": None if seconds is None else seconds * 1000,
    }
