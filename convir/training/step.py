"""One step of training: forward, backward, update."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.compiled import Compiled, compile
from convir.frontend import nn, trace
from convir.frontend.trace import Spec
from convir.ir import ConvirError, ExecutionError
from convir.passes.lower_conv import StrategyChoice
from convir.training.objective import Loss, objective
from convir.training.optimizers import Optimizer, require_optimizer
from convir.training.settings import Settings

Array = NDArray[Any]


class Step:
    """Takes a batch and changes the model's parameters by it.

    ``step(x, target)`` runs forward, backward and the optimizer's update, and returns the loss before
    the update. The model and the loss are one compiled graph, differentiated by the parameters alone
    and traced in training mode. Parameters that do not require a gradient when the step is made stay
    as they are, as do those that the model's ``forward`` does not use. After the first call with one
    batch size no array is allocated. It serves one thread at a time.

    Args:
        model: the module to train; its parameters change in place.
        loss: see :data:`convir.training.Loss`.
        optimizer: :class:`SGD`, :class:`Adam`, or your own :class:`Optimizer`.
        input_type: shape or TensorType of a batch of inputs. Other batch sizes work too.
        target_type: the same for targets; class indices are ``TensorType((N,), "int64")``.
        conv, backend, threads, tile: how it is compiled and run, see :func:`convir.compile`.

    Raises:
        ConvirError: nothing to train, or ``threads`` or ``tile`` is not a positive integer.
        TraceError, ShapeError, DTypeError: model, loss and types do not fit together.
        UnsupportedError: an unknown loss, strategy or backend, a backend that is not installed, no optimizer, or an
            op without gradient.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        optimizer: Optimizer,
        input_type: Spec,
        target_type: Spec,
        *,
        conv: StrategyChoice | None = None,
        backend: str = "numpy",
        threads: int | None = None,
        tile: int | None = None,
    ) -> None:
        require_optimizer(optimizer)
        function = objective(model, loss, training=True)
        bindings = trace(function, input_type, target_type).bindings
        trainable = {name: parameter.data for name, parameter in bindings.items() if parameter.requires_grad}
        if not trainable:
            reason = "requires_grad is False for all of its parameters" if bindings else "it has no parameters"
            raise ConvirError(f"nothing to train: {reason}", type(model).__name__)
        settings = Settings(conv=conv, backend=backend, threads=threads, tile=tile)
        self._compiled = compile(function, input_type, target_type, wrt=list(trainable), of=[0], **settings)
        self._update = optimizer.start(trainable)
        self._outputs: tuple[Array, ...] = ()

    @property
    def compiled(self) -> Compiled:
        """The compiled graph (x, target) -> (loss, what the model returns): its stages, cost, memory."""
        return self._compiled

    @property
    def outputs(self) -> tuple[Array, ...]:
        """What the model returned in the last call, before the update. The next call overwrites it."""
        return self._outputs

    def __call__(self, x: Any, target: Any) -> float:
        """Take one step and return the loss of this batch before it.

        Raises:
            ExecutionError: the loss is not finite, or a class index is out of range; the parameters
                are then unchanged.
            ShapeError, DTypeError: the batch does not fit the model.
        """
        loss, *outputs = self._compiled.run_forward(x, target)
        value = float(loss)
        if not math.isfinite(value):
            raise ExecutionError(
                f"the loss is {value}, so training has diverged; try a lower learning rate, inputs scaled "
                "to about [-1, 1] and free of NaN"
            )
        self._keep(outputs)
        self._update(self._compiled.run_backward())
        return value

    def _keep(self, outputs: list[Array]) -> None:
        """Copy the outputs out of the memory that the backward uses again."""
        if [array.shape for array in outputs] != [array.shape for array in self._outputs]:
            self._outputs = tuple(np.empty_like(array) for array in outputs)
        for kept, array in zip(self._outputs, outputs, strict=True):
            np.copyto(kept, array)
