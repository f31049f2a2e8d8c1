"""What training minimises: a model and a loss, traced into one graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType, MethodType
from typing import Any

from convir.frontend import nn
from convir.frontend.source import boundary
from convir.ir import ShapeError, TraceError, UnsupportedError

#: A name of :data:`LOSSES`, or a function of what the model returns and the target, written with
#: ``convir.nn.functional`` and tensor arithmetic, that returns one number.
Loss = str | Callable[[Any, Any], Any]

#: The losses that have a name.
LOSSES: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {"cross_entropy": nn.functional.cross_entropy, "mse": nn.functional.mse_loss}
)


def objective(model: nn.Module, loss: Loss, training: bool) -> Callable[[Any, Any], Any]:
    """A function (x, target) -> (loss, what the model returns), to trace or compile.

    It is bound to the model, so that parameters and scopes have the names that they have in the
    model's own trace. The model is in training mode or not while it is traced, and as it was after.

    Raises:
        UnsupportedError: a loss that convir does not have, or of another framework.
        TraceError: ``model`` is not a module, or the loss does not take (output, target).
        ShapeError: when traced, a loss that is not one number.
    """
    if not isinstance(model, nn.Module):
        raise TraceError(f"training takes a convir.nn.Module, whose parameters it changes; got {type(model).__name__}")
    compute = _loss_function(loss)

    # Not the user's code: errors in a named loss speak of the op, those in a loss of their own of their line.
    @boundary
    def objective(model: nn.Module, x: Any, target: Any) -> Any:
        with _mode(model, training):
            output = model(x)
        return _one_number(compute(output, target)), output

    return MethodType(objective, model)


def _loss_function(loss: Loss) -> Callable[[Any, Any], Any]:
    known = ", ".join(map(repr, LOSSES))
    if callable(loss):
        if type(loss).__module__.startswith("torch."):
            raise UnsupportedError(f"{type(loss).__name__} is a PyTorch loss; take {known}, or write a function")
        _require_two_arguments(loss)
        return loss
    if not isinstance(loss, str) or loss not in LOSSES:
        raise UnsupportedError(f"unknown loss {loss!r:.60}; there are {known}, or pass a function of (output, target)")
    return LOSSES[loss]


def _require_two_arguments(loss: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):  # a built-in without a signature
        return
    try:
        signature.bind(None, None)
    except TypeError:
        name = getattr(loss, "__name__", type(loss).__name__)
        raise TraceError(
            f"a loss is called with two arguments, (output, target), and returns one number; {name} takes {signature}",
            "loss",
        ) from None


def _one_number(value: Any) -> Any:
    if getattr(value, "shape", None) != ():
        found = getattr(value, "type", type(value).__name__)
        raise ShapeError(f"a loss returns one number, such as ((output - target) ** 2).mean(); got {found}", "loss")
    return value


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """``model.train(training)`` inside; every module gets its own earlier mode back."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode
