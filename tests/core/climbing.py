"""A method whose dev scores are what it was told: they climb to `height` in some steps. For tests of what listens."""

import time
from dataclasses import dataclass

import numpy as np

from speciate import Method, SpeciateError, hookimpl


@dataclass
class Climb:
    height: float = 0.5  # the last dev score; below 0 it fails, above 1 it says none
    steps: int = 4
    wait: float = 0.0  # seconds a step


@hookimpl
def speciate_methods():
    predictor = "speciate_trainers.predictor:ProbePredictor"
    return [Method("climb", "climbs", "climbing:Climber", predictor, ("classify",), options=Climb)]


class Climber:
    def __init__(self, options):
        self.options = options

    def fit(self, job):
        height, steps = self.options.height, self.options.steps
        (job.folder / "checkpoints").mkdir(exist_ok=True)
        for step in range(1, steps + 1):
            time.sleep(self.options.wait)
            job.journal.write(step, loss=1 / step)
            if height < 0:
                raise SpeciateError("it fell", f"at step {step}", "climb lower")
            if height <= 1:
                job.journal.write(step, dev=height * step / steps)
        width, labels = job.train.features.shape[1], len(job.task.labels)
        return {
            "weight": np.zeros((labels, width)),
            "bias": np.zeros(labels),
            "shift": np.zeros(1),
            "scale": np.ones(1),
        }
