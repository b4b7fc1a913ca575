"""What a person may choose about each Method."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FullOptions", "GenerateOptions", "LoraOptions", "ProbeOptions", "TrainOptions"]


@dataclass
class ProbeOptions:
    """c is the inverse strength of L2, as in scikit-learn; of several the one with the lowest dev loss is kept."""

    c: list[float] = field(default_factory=lambda: [0.1, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0])
    balanced: bool = False  # weigh classes by the inverse of their frequency
    refit: bool = True  # once c is chosen, learn from train and dev together
    max_iter: int = 300  # of L-BFGS, for each c


@dataclass
class TrainOptions:
    """What every method that goes through the loop can be told."""

    epochs: int = 10
    batch_size: int = 16
    lr: float = 3e-4
    head_lr: float = 0.0  # of the head; 0 takes lr
    weight_decay: float = 0.01
    warmup: float = 0.1  # the share of all steps in which the rate climbs; then it falls along a cosine
    clip: float = 1.0  # gradients are scaled down to this norm; 0 leaves them
    patience: int = 0  # dev scores without a better one before it stops; 0 never stops early
    eval_every: int = 0  # steps between dev scores; 0 is once an epoch
    save_every: int = 0  # steps between checkpoints; 0 saves each minute and after each dev score
    balance: str = "none"  # loss: rare labels weigh more; rows: they are drawn more often
    smoothing: float = 0.0  # the share of a label that is spread over the others
    ema: float = 0.0  # answer with a moving average of the weights: 0.999 is usual
    augment: bool = True  # see the samples in other ways, as the format says
    start: str = "probe"  # the head starts as the probe's, or at zero
    cache: bool = False  # keep decoded samples on the disk


@dataclass
class FullOptions(TrainOptions):
    """All weights of the base, or those above a depth."""

    lr: float = 1e-4
    freeze: float = 0.0  # the share of the base's blocks, from the input on, that stay as they are
    lr_decay: float = 1.0  # each block learns slower than the one above it by this factor
    freeze_norm: bool = True  # batch norms keep the statistics they came with


@dataclass
class LoraOptions(TrainOptions):
    """Low-rank additions to linear and convolutional layers, through peft."""

    lr: float = 1e-3
    rank: int = 8
    alpha: float = 16.0  # the additions are scaled by alpha / rank
    dropout: float = 0.0
    layers: str = "all"  # a regular expression over the names of layers; all: every linear and convolutional one
    keep: str = "merged"  # merged: whole layers, or adapter: only the additions, a small file


@dataclass
class GenerateOptions:
    """How the task generate chooses words."""

    max_tokens: int = 64  # of an answer
    temperature: float = 0.0  # 0 takes the likeliest word each time; 1 draws as the model believes
    top_p: float = 1.0  # draw from the likeliest words that together have this probability
    seed: int = 0  # of what is drawn: the same text has the same answer, whatever else is asked
