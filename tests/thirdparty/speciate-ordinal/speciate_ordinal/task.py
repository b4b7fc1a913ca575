"""Labels such as `1 low`, `2 middle`, `3 high`: their order is that of the alphabet."""

import numpy as np

from speciate.task import Task


class Ordinal(Task):
    """Targets are steps from the lowest label; answers say how likely each step above it is: [n, labels - 1]."""

    name = "ordinal"
    primary = "steps_off"

    @classmethod
    def pose(cls, rows, where, options):
        return cls(tuple(sorted({row["label"] for row in rows})), options)

    @classmethod
    def examples(cls):
        return [({}, ["1 low", "2 middle", "3 high"])]

    def targets(self, rows):
        return np.array([self.labels.index(row["label"]) for row in rows], dtype=float)

    def certain(self, targets):
        return (targets[:, None] > np.arange(len(self.labels) - 1)).astype(float)

    def outputs(self, answers):
        return [{"label": self.labels[int((row > 0.5).sum())], "above": row.tolist()} for row in answers]

    def answers(self, outputs):
        return np.array([output["above"] for output in outputs])

    def prior(self, targets, n):
        return np.tile(self.certain(targets).mean(axis=0), (n, 1))

    def shape(self):
        return (len(self.labels) - 1,)

    def head(self, width, targets):
        from torch import nn

        return nn.Linear(width, len(self.labels) - 1)

    def loss(self, scores, targets, smoothing=0.0):
        import torch

        above = (targets[:, None] > torch.arange(scores.shape[1], device=targets.device)).to(scores.dtype)
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, above, reduction="none").sum(dim=1)

    def decide(self, scores):
        return scores.double().sigmoid()


def steps_off(predictions, weights):
    off = np.abs((predictions.answers > 0.5).sum(axis=1) - predictions.targets)
    return (weights @ off) / weights.sum(axis=1)
