"""The numbers every comparison and every gate is made of: declarations only, the code is in `scorers`."""

from __future__ import annotations

from collections.abc import Iterable

from speciate import Evaluator, hookimpl

__all__ = ["speciate_evaluators"]


def _scorer(name: str, task: str, summary: str, *, higher_is_better: bool = True, file: str = "scorers") -> Evaluator:
    scorer = f"speciate_evaluators.{file}:{name}"
    return Evaluator(name, summary, scorer, (task,), higher_is_better=higher_is_better, weighted=True)


@hookimpl
def speciate_evaluators() -> Iterable[Evaluator]:
    """The usual numbers for classifying and for regressing."""
    return [
        _scorer("accuracy", "classify", "share of rows answered right"),
        _scorer("macro_f1", "classify", "F1 a label, averaged over labels, so rare ones count as much"),
        _scorer("auroc", "classify", "how well each label is ranked above the rest, averaged over labels"),
        _scorer("log_loss", "classify", "surprise at the truth, in nats", higher_is_better=False),
        _scorer("ece", "classify", "gap between confidence and accuracy, over 15 bins", higher_is_better=False),
        _scorer("mae", "regress", "mean absolute error", higher_is_better=False),
        _scorer("rmse", "regress", "root of the mean squared error", higher_is_better=False),
        _scorer("r2", "regress", "share of the variance explained"),
        _scorer("token_f1", "generate", "F1 of the words shared with the text that should be said", file="texts"),
        _scorer("exact_match", "generate", "share of answers that are the text itself", file="texts"),
        _scorer("perplexity", "generate", "surprise at a token of the text", higher_is_better=False, file="texts"),
    ]
