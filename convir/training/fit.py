"""Training over many epochs."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from convir.data import Dataset, generator_or_default, positive
from convir.frontend import nn
from convir.ir import ConvirError, ShapeError
from convir.passes.lower_conv import StrategyChoice
from convir.training.evaluation import BATCH_SIZE, Evaluation, Evaluator, Tally, batch_types
from convir.training.history import Epoch, History
from convir.training.objective import Loss
from convir.training.optimizers import Adam, Optimizer
from convir.training.progress import Progress, progress_on
from convir.training.settings import Settings
from convir.training.step import Step


def fit(
    model: nn.Module,
    train: Dataset,
    test: Dataset | None = None,
    *,
    loss: Loss = "cross_entropy",
    optimizer: Optimizer | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    generator: np.random.Generator | None = None,
    conv: StrategyChoice | None = None,
    backend: str = "numpy",
    threads: int | None = None,
    tile: int | None = None,
    progress: bool | None = None,
) -> History:
    """Train ``model`` on shuffled batches; its parameters change in place.

    The model is traced in training mode for the steps and in evaluation mode for the test data; its
    own mode stays what it was. If training is interrupted, the model has the parameters of the last
    finished update.

    Args:
        model: the module to train; see :class:`Step` for what stays unchanged in it.
        train: the samples to learn from. The last batch of an epoch holds the rest.
        test: samples to evaluate after every epoch.
        loss: see :data:`convir.training.Loss`.
        optimizer: :class:`SGD`, :class:`Adam` or your own; ``Adam()`` unless given. It starts afresh.
        epochs: how often to go through ``train``.
        batch_size: samples for one update.
        generator: draws the order of the samples; the default one unless given.
        conv, backend, threads, tile: how the steps and the evaluation are compiled and run, see
            :func:`convir.compile`.
        progress: whether to show how far it is; by default where standard output is a terminal.

    Raises:
        ExecutionError: the loss is not finite, or a class index is out of range; it names epoch and batch.
        ConvirError: nothing to train, a generator that is none, or ``threads`` or ``tile`` is not a positive integer.
        ShapeError: epochs or batch_size that are not positive integers, or data that is not a Dataset.
        TraceError, ShapeError, DTypeError, UnsupportedError: model, loss and data do not fit together.
        UnsupportedError: an unknown strategy or backend, or a backend that is not installed.
    """
    epochs, size = positive("epochs", epochs), positive("batch_size", batch_size)
    _require_datasets(train, test)
    generator_or_default(generator)
    size = min(size, len(train))
    settings = Settings(conv=conv, backend=backend, threads=threads, tile=tile)
    step = Step(model, loss, Adam() if optimizer is None else optimizer, *batch_types(train, size), **settings)
    evaluator = None if test is None else Evaluator(model, loss, test, BATCH_SIZE, settings)
    done: list[Epoch] = []
    with progress_on(progress, epochs, -(-len(train) // size)) as shown:
        for number in range(1, epochs + 1):
            begin = time.perf_counter()
            trained = _one_epoch(step, train, size, generator_or_default(generator), shown, number)
            seconds = time.perf_counter() - begin
            test_loss, test_accuracy = (None, None) if evaluator is None else evaluator()
            done.append(Epoch(number, trained.loss, trained.accuracy, test_loss, test_accuracy, seconds))
            shown.epoch(done[-1])
    return History(tuple(done))


def _one_epoch(
    step: Step, train: Dataset, size: int, generator: np.random.Generator, shown: Progress, number: int
) -> Evaluation:
    tally = Tally()
    for batch, (x, target) in enumerate(train.batches(size, shuffle=True, generator=generator), 1):
        try:
            loss = step(x, target)
        except ConvirError as error:
            raise error.located(f"epoch {number}, batch {batch}") from None
        tally.add(loss, step.outputs, target)
        shown.batch(tally)
    return tally.result()


def _require_datasets(train: Any, test: Any) -> None:
    for name, given in (("train", train), ("test", test)):
        if not isinstance(given, Dataset) and not (name == "test" and given is None):
            raise ShapeError(f"{name} must be a data.Dataset(inputs, targets), got {type(given).__name__}")
    if test is not None and train.inputs.shape[1:] != test.inputs.shape[1:]:
        shapes = [list(given.inputs.shape[1:]) for given in (train, test)]
        raise ShapeError(f"train has samples of shape {shapes[0]}, test of {shapes[1]}")
