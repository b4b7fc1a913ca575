"""The numbers every comparison and every gate is made of: declarations only, the code is in `scorers` and `places`."""

from __future__ import annotations

from collections.abc import Iterable

from speciate import Evaluator, hookimpl

__all__ = ["speciate_evaluators"]


def _scorer(name: str, task: str, summary: str, where: str = "scorers", up: bool = True, needs: str = "") -> Evaluator:
    scorer = f"speciate_evaluators.{where}:{name}"
    return Evaluator(name, summary, scorer, (task,), higher_is_better=up, weighted=True, needs=needs)


@hookimpl
def speciate_evaluators() -> Iterable[Evaluator]:
    """The usual numbers for each task."""
    return [
        _scorer("accuracy", "classify", "share of rows answered right"),
        _scorer("macro_f1", "classify", "F1 a label, averaged over labels, so rare ones count as much"),
        _scorer("auroc", "classify", "how well each label is ranked above the rest, averaged over labels"),
        _scorer("log_loss", "classify", "surprise at the truth, in nats", up=False),
        _scorer("ece", "classify", "gap between confidence and accuracy, over 15 bins", up=False),
        _scorer("label_f1", "multilabel", "F1 a label, averaged over labels, so rare ones count as much", "sets"),
        _scorer("label_f1_micro", "multilabel", "F1 of all labels of all rows together", "sets"),
        _scorer("label_map", "multilabel", "average precision a label, averaged over labels", "sets"),
        _scorer("set_match", "multilabel", "share of rows with exactly the true labels", "sets"),
        _scorer("hamming", "multilabel", "share of all labels of all rows that are wrong", "sets", up=False),
        _scorer("dice", "segment", "overlap of masks, averaged over the classes of a row", "places"),
        _scorer("iou", "segment", "what masks share of what either covers, as dice is averaged", "places"),
        _scorer("tag_accuracy", "tag", "share of residues labelled right", "places"),
        _scorer("tag_macro_f1", "tag", "F1 a label over all residues, averaged over labels", "places"),
        _scorer("mae", "regress", "mean absolute error", up=False),
        _scorer("rmse", "regress", "root of the mean squared error", up=False),
        _scorer("r2", "regress", "share of the variance explained"),
        _scorer("nll", "regress", "surprise at the truth, in nats, given the spread", up=False, needs="std"),
        _scorer("coverage", "regress", "share of truths inside the 90% interval: 0.9 is honest", needs="std"),
        _scorer("recall_at_1", "embed", "share of rows whose nearest is of their label", "retrieval"),
        _scorer("recall_at_5", "embed", "share of rows with one of their label among the five nearest", "retrieval"),
        _scorer("retrieval_map", "embed", "average precision of what each row finds, nearest first", "retrieval"),
    ]
