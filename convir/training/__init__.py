"""Training: losses, optimizers, one step, whole fits, evaluation, saved weights."""

from convir.training.evaluation import Evaluation, evaluate
from convir.training.fit import fit
from convir.training.history import Epoch, History
from convir.training.objective import LOSSES, Loss
from convir.training.optimizers import SGD, Adam, Optimizer
from convir.training.step import Step
from convir.training.weights import load, save

__all__ = [
    "LOSSES",
    "SGD",
    "Adam",
    "Epoch",
    "Evaluation",
    "History",
    "Loss",
    "Optimizer",
    "Step",
    "evaluate",
    "fit",
    "load",
    "save",
]
