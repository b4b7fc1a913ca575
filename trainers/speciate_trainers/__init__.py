"""Methods: ways to specialise a base. The only room where Lightning is imported."""

from __future__ import annotations

from collections.abc import Iterable

from speciate import Method, hookimpl
from speciate_trainers.options import ProbeOptions


@hookimpl
def speciate_methods() -> Iterable[Method]:
    return [
        Method(
            name="probe",
            summary="a head on frozen, cached features; its strength is chosen on the dev split",
            trainer="speciate_trainers.probe:ProbeTrainer",
            predictor="speciate_trainers.predictor:ProbePredictor",
            tasks=("classify", "regress"),
            options=ProbeOptions,
            requires=("lightning", "torch"),
            install="speciate[train]",
        )
    ]
