"""How well a model does on a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convir.compiled import compile
from convir.data import Dataset, positive
from convir.frontend import nn
from convir.ir import TensorType
from convir.passes.lower_conv import StrategyChoice
from convir.training.objective import Loss, objective
from convir.training.settings import Settings

Array = NDArray[Any]

#: Samples that are evaluated at a time, unless told otherwise.
BATCH_SIZE = 256


class Evaluation(NamedTuple):
    """Mean loss over the samples, and the share that is classified right (None where there are no classes)."""

    loss: float
    accuracy: float | None


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    *,
    loss: Loss = "cross_entropy",
    batch_size: int = BATCH_SIZE,
    conv: StrategyChoice | None = None,
    backend: str = "numpy",
    threads: int | None = None,
    tile: int | None = None,
) -> Evaluation:
    """Loss and accuracy of ``model`` in evaluation mode (dropout does nothing); the model stays as it is.

    Args:
        model: the module to evaluate.
        dataset: the samples.
        loss: see :data:`convir.training.Loss`.
        batch_size: samples that are evaluated at a time.
        conv, backend, threads, tile: how it is compiled and run, see :func:`convir.compile`.

    Raises:
        TraceError, ShapeError, DTypeError, UnsupportedError: model, loss and data do not fit together.
        UnsupportedError: an unknown strategy or backend, or a backend that is not installed.
        ConvirError: ``threads`` or ``tile`` is not a positive integer.
        ExecutionError: a class index is out of range.
    """
    settings = Settings(conv=conv, backend=backend, threads=threads, tile=tile)
    return Evaluator(model, loss, dataset, batch_size, settings)()


class Evaluator:
    """An evaluation that is compiled once and repeated while the parameters change."""

    def __init__(self, model: nn.Module, loss: Loss, dataset: Dataset, batch_size: int, settings: Settings) -> None:
        self._dataset = dataset
        self._size = min(positive("the batch size", batch_size), len(dataset))
        function = objective(model, loss, training=False)
        self._compiled = compile(function, *batch_types(dataset, self._size), wrt=(), **settings)

    def __call__(self) -> Evaluation:
        """Evaluate the parameters as they are now."""
        tally = Tally()
        for x, target in self._dataset.batches(self._size):
            loss, *outputs = self._compiled.run_forward(x, target)
            tally.add(float(loss), outputs, target)
        return tally.result()


class Tally:
    """Sums over batches of different sizes."""

    def __init__(self) -> None:
        self._samples = 0
        self._loss = 0.0
        self._right: int | None = 0

    def add(self, loss: float, outputs: Sequence[Array], target: Array) -> None:
        """Count one batch: its mean loss, what the model returned for it, and its targets."""
        right = correct(outputs, target)
        self._samples += len(target)
        self._loss += loss * len(target)
        self._right = None if self._right is None or right is None else self._right + right

    def result(self) -> Evaluation:
        """The mean over all samples."""
        accuracy = None if self._right is None else self._right / self._samples
        return Evaluation(self._loss / self._samples, accuracy)


def correct(outputs: Sequence[Array], target: Array) -> int | None:
    """How many samples have their largest score at the target; None unless (N, classes) meets (N,) integers."""
    is_classification = len(outputs) == 1 and outputs[0].ndim == 2 and target.ndim == 1 and target.dtype.kind == "i"
    return int(np.count_nonzero(outputs[0].argmax(1) == target)) if is_classification else None


def batch_types(dataset: Dataset, size: int) -> tuple[TensorType, TensorType]:
    """Types of a batch of inputs and of targets."""
    inputs, targets = dataset.inputs, dataset.targets
    return (
        TensorType((size, *inputs.shape[1:]), inputs.dtype.name),
        TensorType((size, *targets.shape[1:]), targets.dtype.name),
    )
