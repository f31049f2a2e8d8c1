"""The references: convolution, its gradients and pooling as explicit loops over single numbers.

They are slow, and that is the point: each is its equation and nothing else. Every faster way of
computing the same thing is tested against them. Padding is not stored; taps that fall on it are
skipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from convir.ir.ops import (
    AvgPool2d,
    AvgPool2dGrad,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    MaxPool2d,
    MaxPool2dGrad,
    PoolOp,
    WindowOp,
)
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.registry import Array, Step, in_order, kernel

#: Where a window reads: kernel tap (k, l) on pixel (h, w).
Read = tuple[int, int, int, int]


@kernel(Conv2d)
def conv2d(op: Conv2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``y[n,o,i,j] = act(bias[o] + sum over c,k,l of weight[o,c,k,l] * x[n,c,h,w])``"""
    x, weight, *bias = inputs
    y = outputs[0]
    per_group, filters_per_group = weight.shape[1], weight.shape[0] // op.groups

    def run() -> None:
        for n, o, i, j in np.ndindex(y.shape):
            first = o // filters_per_group * per_group
            total = float(bias[0][o]) if bias else 0.0
            for c in range(per_group):
                for k, l, h, w in _window(op, i, j, weight.shape[2:], x.shape[2:]):
                    total += float(weight[o, c, k, l]) * float(x[n, first + c, h, w])
            y[n, o, i, j] = total

    return in_order([run, *epilogue(op.activation, y)])


@kernel(Conv2dGradWeight)
def conv2d_grad_weight(op: Conv2dGradWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dw[o,c,k,l] += dy[n,o,i,j] * x[n,c,h,w]``"""
    dy, x = inputs
    dw = outputs[0]
    per_group, filters_per_group = dw.shape[1], dw.shape[0] // op.groups

    def run() -> None:
        dw.fill(0)
        for n, o, i, j in np.ndindex(dy.shape):
            first = o // filters_per_group * per_group
            for c in range(per_group):
                for k, l, h, w in _window(op, i, j, dw.shape[2:], x.shape[2:]):
                    dw[o, c, k, l] += dy[n, o, i, j] * x[n, first + c, h, w]

    return run


@kernel(Conv2dGradInput)
def conv2d_grad_input(op: Conv2dGradInput, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx[n,c,h,w] += dy[n,o,i,j] * weight[o,c,k,l]``"""
    dy, weight = inputs
    dx = outputs[0]
    per_group, filters_per_group = weight.shape[1], weight.shape[0] // op.groups

    def run() -> None:
        dx.fill(0)
        for n, o, i, j in np.ndindex(dy.shape):
            first = o // filters_per_group * per_group
            for c in range(per_group):
                for k, l, h, w in _window(op, i, j, weight.shape[2:], dx.shape[2:]):
                    dx[n, first + c, h, w] += dy[n, o, i, j] * weight[o, c, k, l]

    return run


@kernel(MaxPool2d)
def max_pool2d(op: MaxPool2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``y[n,c,i,j] = act(max of x[n,c,h,w] + bias[c])``; NaN wins, as in every framework."""
    x, *bias = inputs
    y = outputs[0]

    def run() -> None:
        for n, c, i, j in np.ndindex(y.shape):
            best = _maximum(op, x, (n, c, i, j))
            y[n, c, i, j] = best + bias[0][c] if bias else best

    return in_order([run, *epilogue(op.activation, y)])


@kernel(MaxPool2dGrad)
def max_pool2d_grad(op: MaxPool2dGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx[n,c,h,w] += dy[n,c,i,j]`` at the first pixel that equals the maximum"""
    dy, x, *known = inputs
    dx = outputs[0]

    def run() -> None:
        dx.fill(0)
        for n, c, i, j in np.ndindex(dy.shape):
            best = known[0][n, c, i, j] if known else _maximum(op, x, (n, c, i, j))
            for _, _, h, w in _window(op, i, j, op.kernel_size, x.shape[2:]):
                if x[n, c, h, w] == best:
                    dx[n, c, h, w] += dy[n, c, i, j]
                    break

    return run


@kernel(AvgPool2d)
def avg_pool2d(op: AvgPool2d, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``y[n,c,i,j] = sum of x[n,c,h,w] / divisor(i, j)``"""
    x, y = inputs[0], outputs[0]

    def run() -> None:
        for n, c, i, j in np.ndindex(y.shape):
            total = 0.0
            for _, _, h, w in _window(op, i, j, op.kernel_size, x.shape[2:]):
                total += float(x[n, c, h, w])
            y[n, c, i, j] = total / op.divisor((x.shape[2], x.shape[3]), i, j)

    return run


@kernel(AvgPool2dGrad)
def avg_pool2d_grad(op: AvgPool2dGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """``dx[n,c,h,w] += dy[n,c,i,j] / divisor(i, j)``"""
    dy, dx = inputs[0], outputs[0]

    def run() -> None:
        dx.fill(0)
        for n, c, i, j in np.ndindex(dy.shape):
            share = dy[n, c, i, j] / op.divisor((dx.shape[2], dx.shape[3]), i, j)
            for _, _, h, w in _window(op, i, j, op.kernel_size, dx.shape[2:]):
                dx[n, c, h, w] += share

    return run


def _maximum(op: PoolOp, x: Array, at: tuple[int, ...]) -> Any:
    """The maximum of window (i, j) of ``at``, or NaN; -inf where it holds no pixel."""
    n, c, i, j = at
    best = x.dtype.type(-np.inf)
    for _, _, h, w in _window(op, i, j, op.kernel_size, x.shape[2:]):
        if x[n, c, h, w] > best or np.isnan(x[n, c, h, w]):
            best = x[n, c, h, w]
    return best


def _window(op: WindowOp, i: int, j: int, kernel: Sequence[int], size: Sequence[int]) -> Iterator[Read]:
    """The taps of window (i, j) that fall on the image, in row-major order."""
    for k in range(kernel[0]):
        h = i * op.stride[0] + k * op.dilation[0] - op.padding[0]
        if not 0 <= h < size[0]:
            continue
        for l in range(kernel[1]):
            w = j * op.stride[1] + l * op.dilation[1] - op.padding[1]
            if 0 <= w < size[1]:
                yield k, l, h, w
