"""What a person may choose about each Method."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["DistillOptions", "FullOptions", "LoraOptions", "ProbeOptions", "SegmentOptions", "TrainOptions"]


@dataclass
class ProbeOptions:
    """c is the inverse strength of L2, as in scikit-learn; of several the one with the lowest dev loss is kept,
    or where dev rows or their groups are fewer than 200, that with the lowest loss of fifths held back in turn."""

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
class SegmentOptions:
    """A class for each pixel or voxel."""

    classes: list[str] = field(default_factory=list)  # to learn, in this order; empty: all that occur, by name
    mirror: bool = False  # in training, also seen with left and right changed: not where a side is what it is about
    dice: float = 0.5  # the share of soft Dice in the loss; the rest is cross-entropy


@dataclass
class DistillOptions(FullOptions):
    """A student learns what a teacher answers; settings of `full` hold for train=full."""

    lr: float = 1e-3
    teacher: list[str] = field(default_factory=list)  # models, whose answers are averaged; or one openai:MODEL
    train: str = "full"  # what of the student learns: full, lora, or its head
    rank: int = 8  # of lora
    alpha: float = 0.5  # the teacher's share in the loss of a row with a label; of one without, it has all
    temperature: float = 2.0  # above 1 the teacher's small probabilities count more
    features: float = 0.0  # weight of looking alike: the student's vectors, projected, and those of the teacher's base
    unlabelled: bool = True  # learn from rows without a label, too
    write: str = "none"  # missing, all: the teacher's answers become labels of rows without one, or of all rows
    plain: bool = True  # train the same student without a teacher as well, for the report
    url: str = "https://api.openai.com/v1"  # of openai:MODEL: any server that speaks its protocol
    key: str = "OPENAI_API_KEY"  # the environment variable that holds the key
    prompt: str = ""  # what such a teacher is told before each row
    parallel: int = 4  # questions that it is asked at once
