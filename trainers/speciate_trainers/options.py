"""What a person may choose about each Method."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class ProbeOptions:
    """c is the inverse strength of L2, as in scikit-learn; of several the one with the lowest dev loss is kept."""

    c: list[float] = field(default_factory=lambda: [0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
    balanced: bool = False  # weigh classes by the inverse of their frequency
    refit: bool = True  # once c is chosen, learn from train and dev together
    max_iter: int = 300  # of L-BFGS, for each c
