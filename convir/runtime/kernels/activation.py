"""Activations and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from convir.ir import Op, TensorType
from convir.ir.ops import Relu, ReluGrad, Sigmoid, SigmoidGrad, Tanh, TanhGrad
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


def select(mask: Array, values: Array, chosen: Array, out: Array) -> list[Step]:
    """Steps for ``out = values where mask, else +0``, by bits: no branch, and inf stays out of it.

    ``mask`` is boolean and ``chosen`` an integer array of the width of ``values``; a masked copy
    would mispredict every other branch (ten times slower on random signs).
    """
    integer = chosen.dtype
    return [
        partial(np.negative, mask.view(np.int8), chosen),
        partial(np.bitwise_and, values.view(integer), chosen, out.view(integer)),
    ]


def select_scratch(type: TensorType) -> list[TensorType]:
    """The mask and the integers that :func:`select` works in."""
    return [replace(type, dtype="bool"), replace(type, dtype="int32" if type.itemsize == 4 else "int64")]


def relu_steps(x: Array, y: Array) -> list[Step]:
    """Steps for ``y = max(x, 0)``."""
    return [partial(np.maximum, x, scalar(0, x), out=y)]


def tanh_steps(x: Array, y: Array) -> list[Step]:
    """Steps for ``y = tanh(x)``."""
    return [partial(np.tanh, x, y)]


def sigmoid_steps(x: Array, y: Array) -> list[Step]:
    """Steps for ``y = 1 / (1 + exp(-x))``: exp may overflow to inf, and then 1 / inf is the right answer."""
    one = scalar(1, x)
    return [
        partial(np.negative, x, y),
        partial(np.exp, y, y),
        partial(np.add, y, one, y),
        partial(np.divide, one, y, y),
    ]


#: Steps of the activations by name: also the epilogues of convolution and matmul.
ACTIVATION_STEPS: dict[str, Callable[[Array, Array], list[Step]]] = {
    "relu": relu_steps,
    "sigmoid": sigmoid_steps,
    "tanh": tanh_steps,
}


def epilogue(activation: str | None, y: Array) -> list[Step]:
    """Steps that apply a fused activation in place."""
    return [] if activation is None else ACTIVATION_STEPS[activation](y, y)


@kernel(Relu, Sigmoid, Tanh)
def activation(op: Op, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The activation's own steps."""
    return in_order(ACTIVATION_STEPS[op.name](inputs[0], outputs[0]))


def _mask_scratch(op: Op, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    return select_scratch(results[0])


@kernel(ReluGrad, scratch=_mask_scratch)
def relu_grad(op: ReluGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx = dy where y > 0, else 0``"""
    dy, y = inputs
    dx, mask, chosen = outputs
    return in_order([partial(np.greater, y, scalar(0, y), mask), *select(mask, dy, chosen, dx)])


def _one_scratch(op: Op, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    return results


@kernel(SigmoidGrad, scratch=_one_scratch)
def sigmoid_grad(op: SigmoidGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx = dy * (y * (1 - y))``"""
    dy, y = inputs
    dx, slope = outputs
    return in_order([
        partial(np.subtract, scalar(1, y), y, slope),
        partial(np.multiply, slope, y, slope),
        partial(np.multiply, dy, slope, dx),
    ])  # fmt: skip


@kernel(TanhGrad, scratch=_one_scratch)
def tanh_grad(op: TanhGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx = dy * (1 - y * y)``"""
    dy, y = inputs
    dx, slope = outputs
    return in_order([
        partial(np.multiply, y, y, slope),
        partial(np.subtract, scalar(1, y), slope, slope),
        partial(np.multiply, dy, slope, dx),
    ])  # fmt: skip
