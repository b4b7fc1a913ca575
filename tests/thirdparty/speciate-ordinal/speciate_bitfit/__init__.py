"""A method of one's own: of the base only biases and the scales of norms learn, as in BitFit (arXiv 2106.10199)."""

from speciate import Method, hookimpl
from speciate_bitfit.options import BitfitOptions


@hookimpl
def speciate_methods():
    trainer, answers = "speciate_bitfit.trainer:BitfitTrainer", "speciate_trainers.tuned:TunedPredictor"
    more = {"options": BitfitOptions, "requires": ("lightning", "torch"), "features": False}
    return [Method("bitfit", "biases and norms of the base learn", trainer, answers, ("*",), **more)]
