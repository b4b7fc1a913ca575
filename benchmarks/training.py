"""The training loop against plain ways to do the same work, in one run: `python benchmarks/training.py [--rounds 7]`.

full: steps a second on a step of some 15 ms, against a bare PyTorch loop over the same batches (network, loss,
clipping, AdamW, cosine). probe: 10,000 vectors that are there already, against LogisticRegression at the same
strength. Each round does one after the other, in turns, so that a drifting machine does not decide.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from bench import record

from speciate import Job
from speciate.progress import StageClock
from speciate.task import Examples
from speciate_image.conv import CHANNELS, ConvNetwork
from speciate_trainers.data import Batch
from speciate_trainers.learner import Learner
from speciate_trainers.loop import train
from speciate_trainers.options import ProbeOptions, TrainOptions
from speciate_trainers.predictor import ProbePredictor
from speciate_trainers.probe import ProbeTrainer
from speciate_trainers.tasks.classify import Classify

TASK = Classify(("a", "b", "c", "d"))
LR, DECAY, WARM = 1e-3, 0.01, 0.1


class Given:
    """Batches that are there already."""

    def __init__(self, batches):
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __iter__(self):
        return iter(self.batches)

    def set_world(self, world_size, rank): ...

    def state_dict(self):
        return {}

    def load_state_dict(self, state): ...


def batches(count, rows, size):
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        pixels = torch.from_numpy(rng.integers(0, 256, (rows, 3, size, size)).astype(np.uint8))
        truth = rng.integers(0, 4, rows).astype(float)
        made.append(Batch([str(i) for i in range(rows)], {"pixels": pixels}, TASK.tensor(truth), truth))
    return made


def fresh():
    torch.manual_seed(0)
    network = ConvNetwork(0)
    network.stages = network.stages[:-1]  # without the last, a step takes some 15 ms
    return network, TASK.head(CHANNELS[-2], np.zeros(1))


def ours(made):
    """Through the Learner, Lightning and all that watches; seconds a step."""
    network, head = fresh()
    options = TrainOptions(epochs=1, lr=LR, weight_decay=DECAY, warmup=WARM, start="zero")
    groups = [{"params": [*network.parameters(), *head.parameters()], "lr": LR}]
    rows = [{"id": str(i), "label": "a"} for i in range(len(made))]
    examples = Examples(rows, TASK, dict, None, lambda ids, **options: Given(made))
    with tempfile.TemporaryDirectory() as folder:
        job = Job(examples, Examples([], TASK, dict, None), TASK, 0, Path(folder), StageClock(True))
        learner = Learner(network, head, TASK, options, groups)
        clock = []
        whole = learner.training_step

        def step(batch, batch_idx):
            clock.append(time.perf_counter())
            return whole(batch, batch_idx)

        learner.training_step = step
        train(job, learner, lambda samples: {})
    return (clock[-1] - clock[20]) / (len(clock) - 21)


def bare(made):
    """What somebody would write by hand; seconds a step."""
    network, head = fresh()
    everything = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(everything, lr=LR, weight_decay=DECAY)
    warm = max(1, round(WARM * len(made)))

    def rate(step):
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, len(made) - warm)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    network.train(), head.train()
    clock = []
    for batch in made:
        clock.append(time.perf_counter())
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(head(network(**batch.inputs)), batch.targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(everything, 1.0)
        optimiser.step()
        schedule.step()
    return (clock[-1] - clock[20]) / (len(clock) - 21)


def steps(rounds):
    made = batches(300, 2, 16)
    ours(made[:40]), bare(made[:40])
    pairs = [(ours(made), bare(made)) for _ in range(rounds)]
    ratio = statistics.median(b / o for o, b in pairs)
    o, b = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    return [
        f"- full: {o:.2f} ms a step, a bare loop {b:.2f} ms: **{ratio:.3f}** of its steps a second "
        f"(bar 0.95; {min(b / o for o, b in pairs):.3f} to {max(b / o for o, b in pairs):.3f} over {rounds} rounds)"
    ]


def probe(rounds):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(8, 384)) * 0.06
    targets = rng.integers(0, 8, 12_000)
    features = centres[targets] + rng.normal(size=(12_000, 384)) * 0.05
    features = (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)
    task = Classify(tuple("abcdefgh"))

    def part(rows):
        made = Examples([{}] * len(features[rows]), task, dict, None)
        made.features, made.targets = features[rows], targets[rows].astype(float)
        return made

    learn, dev = part(slice(0, 10_000)), part(slice(10_000, None))
    empty = part(slice(0, 0))
    strength, results = 10.0, []
    for _ in range(rounds):
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            job = Job(learn, empty, task, 0, Path(folder), StageClock(True))
            tensors = ProbeTrainer(ProbeOptions(c=[strength], refit=False)).fit(job)
        mine = time.perf_counter() - start
        start = time.perf_counter()
        theirs = LogisticRegression(C=strength, max_iter=1000).fit(learn.features, learn.targets)
        results.append((mine, time.perf_counter() - start))
    answers = ProbePredictor(tensors, task, None).predict(dev), theirs.predict_proba(dev.features)
    losses = [-np.log(a[np.arange(len(a)), dev.targets.astype(int)]).mean() for a in answers]
    ratio = statistics.median(m / t for m, t in results)
    mine, their = (statistics.median(column) for column in zip(*results, strict=True))
    return [
        f"- probe on 10,000 vectors of 384 numbers, 8 labels, C=10: {mine:.2f} s, scikit-learn {their:.2f} s: "
        f"**{ratio:.2f}x** of its time (bar 1.5) at a dev log-loss of {losses[0]:.5f} against {losses[1]:.5f}"
    ]


def main():
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--rounds", type=int, default=7)
    words.add_argument("--dry", action="store_true", help="do not write RESULTS.md")
    chosen = words.parse_args()
    warnings.filterwarnings("ignore")
    lines = steps(chosen.rounds) + probe(chosen.rounds)
    print("\n".join(lines)) if chosen.dry else record("Training", lines)


if __name__ == "__main__":
    main()
