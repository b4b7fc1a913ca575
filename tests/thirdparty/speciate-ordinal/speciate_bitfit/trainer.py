"""The parameters that learn, and a loss that looks at what is hard: all the rest is the loop's."""

from speciate_trainers.depth import grouped
from speciate_trainers.full import arrays, check, started, trainable
from speciate_trainers.learner import Learner
from speciate_trainers.loop import train


class BitfitTrainer:
    def __init__(self, options):
        check(options)
        self.options = options

    def fit(self, job):
        encoder = trainable(job)
        head, network = started(job, encoder, self.options), encoder.network()
        small = [p for p in network.parameters() if p.dim() == 1 and p.is_floating_point()]
        groups = grouped(small, head, self.options)
        learner = Learner(network, head, job.task, self.options, groups, self.objective)
        train(job, learner, encoder.batch)
        return arrays(learner.learnt())

    def objective(self, learner, scores, batch):
        """The loss of each row, times how large it is beside the others."""
        losses = learner.task.loss(scores, batch.targets, self.options.smoothing)
        return losses * (1 + self.options.hard * losses.detach() / losses.detach().mean().clamp(min=1e-9))
