"""The numbers every comparison and every gate is made of: declarations only, the code is in `scorers` and `places`."""

from __future__ import annotations

from collections.abc import Iterable

from speciate import Evaluator, hookimpl

__all__ = ["speciate_evaluators"]


def _scorer(name: str, task: str, summary: str, *, higher_is_better: bool = True, where: str = "scorers") -> Evaluator:
    scorer = f"speciate_evaluators.{where}:{name}"
    return Evaluator(name, summary, scorer, (task,), higher_is_better=higher_is_better, weighted=True)


@hookimpl
def speciate_evaluators() -> Iterable[Evaluator]:
    """The usual numbers of each task."""
    return [
        _scorer("accuracy", "classify", "share of rows answered right"),
        _scorer("macro_f1", "classify", "F1 a label, averaged over labels, so rare ones count as much"),
        _scorer("auroc", "classify", "how well each label is ranked above the rest, averaged over labels"),
        _scorer("log_loss", "classify", "surprise at the truth, in nats", higher_is_better=False),
        _scorer("ece", "classify", "gap between confidence and accuracy, over 15 bins", higher_is_better=False),
        _scorer("mae", "regress", "mean absolute error", higher_is_better=False),
        _scorer("rmse", "regress", "root of the mean squared error", higher_is_better=False),
        _scorer("dice", "segment", "overlap of masks, averaged over the classes of a row", where="places"),
        _scorer("iou", "segment", "what masks share of what either covers, as dice is averaged", where="places"),
        _scorer("tag_accuracy", "tag", "share of residues labelled right", where="places"),
        _scorer("tag_macro_f1", "tag", "F1 a label over all residues, averaged over labels", where="places"),
        _scorer("r2", "regress", "share of the variance explained"),
    ]
