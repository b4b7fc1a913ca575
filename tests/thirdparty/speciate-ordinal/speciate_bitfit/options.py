"""What a person may choose, beside all that the loop can be told."""

from dataclasses import dataclass

from speciate_trainers.options import TrainOptions


@dataclass
class BitfitOptions(TrainOptions):
    lr: float = 1e-2
    hard: float = 0.0  # how much more rows count that are still answered wrong
