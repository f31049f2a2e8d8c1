"""Reductions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from convir.ir import TensorType
from convir.ir.ops import Max, MaxGrad, Mean, ReduceOp, Sum
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@kernel(Sum, Max)
def reduce(op: ReduceOp, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One ufunc reduction into the result."""
    return _reduction(np.add if isinstance(op, Sum) else np.maximum, op.axes, inputs[0], outputs[0])


@kernel(Mean)
def mean(op: Mean, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The sum, divided in place."""
    y = outputs[0]
    count = scalar(prod(inputs[0].shape[axis] for axis in op.axes), y)
    return in_order([_reduction(np.add, op.axes, inputs[0], y), partial(np.divide, y, count, y)])


def _max_grad_scratch(
    op: MaxGrad, operands: Sequence[TensorType], results: Sequence[TensorType]
) -> Sequence[TensorType]:
    return [replace(results[0], dtype="bool"), op.reduced(results[0], keepdims=True)]


@kernel(MaxGrad, scratch=_max_grad_scratch)
def max_grad(op: MaxGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Mark the maxima, count them, share the cotangent out."""
    dy, x, y = inputs
    dx, mask, share = outputs
    kept = share.shape
    return in_order([
        partial(np.equal, x, y.reshape(kept), mask),
        partial(np.add.reduce, mask, axis=op.axes, dtype=share.dtype, out=share, keepdims=True),
        partial(np.divide, dy.reshape(kept), share, share),
        partial(np.multiply, mask, share, dx),
    ])  # fmt: skip


def _reduction(ufunc: np.ufunc, axes: tuple[int, ...], x: Array, y: Array) -> Step:
    """Reduce, with neighbouring axes merged first: a long contiguous axis is summed fastest, and pairwise."""
    if not axes:
        return partial(np.copyto, y, x)
    shape: list[int] = []
    merged: list[int] = []
    for axis, size in enumerate(x.shape):
        reduced = axis in axes
        if axis and reduced == (axis - 1 in axes):
            shape[-1] *= size
            continue
        shape.append(size)
        if reduced:
            merged.append(len(shape) - 1)
    kept = [size for axis, size in enumerate(shape) if axis not in merged]
    return partial(ufunc.reduce, x.reshape(shape), axis=tuple(merged), out=y.reshape(kept))
