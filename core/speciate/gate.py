"""The gate before production: the receipt holds, and no score on the test rows is worse than what serves now."""

from __future__ import annotations

from typing import Any

from speciate.catalog import Catalog
from speciate.contracts import Engine, Evaluator
from speciate.features import on_dataset
from speciate.model import Model, hashes
from speciate.progress import StageClock
from speciate.score import difference

__all__ = ["judge"]


def judge(catalog: Catalog, engine: Engine, candidate: Model, served: Model | None) -> dict[str, Any]:
    """{passed, why, …}: parity first; then a paired comparison on the test rows of both."""
    receipt = candidate.receipt
    if receipt.get("holds") is not True:
        return {"passed": False, "why": f"its parity receipt does not hold: {receipt}"}
    if receipt.get("files") != hashes(candidate.folder):
        return {"passed": False, "why": "its files are not those that the parity receipt was written about"}
    if not candidate.info["scores"]:
        return {
            "passed": False,
            "why": "it was never scored: its dataset has no test rows; add more, or some with --split test",
        }
    if served is None:
        return _beats_nothing(catalog, candidate)
    if _answers(served) != _answers(candidate):
        return {"passed": False, "why": f"it answers {_otherwise(served, candidate)} {served.name!r}, which serves now"}
    return _beats(catalog, engine, candidate, served)


def _answers(model: Model) -> tuple[Any, ...]:
    """What a client of the endpoint relies on."""
    return model.task.name, model.task.labels, model.task.shape()


def _otherwise(served: Model, candidate: Model) -> str:
    if served.task.name != candidate.task.name:
        return f"the task {candidate.task.name}, not {served.task.name} as"
    return "other labels than" if served.task.labels != candidate.task.labels else "in another shape than"


def _beats_nothing(catalog: Catalog, candidate: Model) -> dict[str, Any]:
    """The first model of an endpoint has to beat answering without a model."""
    name = candidate.task.primary
    if name not in candidate.info["scores"]:
        return {"passed": False, "why": f"it has no {name}, which the gate compares"}
    score, prior = (candidate.info[key][name]["value"] for key in ("scores", "baseline"))
    better = score > prior if catalog.get(Evaluator, name).higher_is_better else score < prior
    return {"passed": better, "why": f"{name} {score:.4f}, without a model {prior:.4f}"}


def _beats(catalog: Catalog, engine: Engine, candidate: Model, served: Model) -> dict[str, Any]:
    """Not worse on its own test rows, nor on those of the model it would replace."""
    learnt = [model.info["dataset"] for model in (served, candidate)]
    tests = dict.fromkeys((at["name"], at["version"]) for at in learnt)
    verdicts = [_compare(catalog, engine, candidate, served, *where) for where in tests]
    return next((verdict for verdict in verdicts if not verdict["passed"]), verdicts[-1])


def _compare(
    catalog: Catalog, engine: Engine, candidate: Model, served: Model, name: str, version: int
) -> dict[str, Any]:
    evaluator = catalog.get(Evaluator, candidate.task.primary)
    dataset = engine.dataset(name, version)
    new, old = (on_dataset(model, dataset, "test", StageClock()) for model in (candidate, served))
    gap = difference(catalog, evaluator, new, old)
    value = gap.value or 0.0
    worse = value < 0 if evaluator.higher_is_better else value > 0
    interval = f"{gap.low:+.4f} to {gap.high:+.4f}, n={gap.n}"
    why = f"{evaluator.name} changes by {value:+.4f} ({interval}) against {served.name!r} on {name}@{version}"
    return {"passed": not worse, "why": why, "difference": gap.as_dict()}
