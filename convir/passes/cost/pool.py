"""Costs of pooling: counted by window, every window in full, padding and ``ceil_mode`` overhang included."""

from __future__ import annotations

from convir.ir.ops import (
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
)
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(MaxPool2d, MaxPool2dTaps)
def max_pool2d(op: MaxPool2d, operands: Types, results: Types) -> Cost:
    """``KH * KW - 1`` comparisons a window, an addition for the bias, and the fused activation."""
    windows = results[0].size
    return Cost(pointwise=windows * (_taps(op) - 1)) + epilogue(op.activation, windows, len(operands) > 1)


@cost_rule(AvgPool2d, AvgPool2dTaps)
def avg_pool2d(op: AvgPool2d, operands: Types, results: Types) -> Cost:
    """``KH * KW - 1`` additions and a division a window."""
    return Cost(pointwise=results[0].size * _taps(op))


@cost_rule(MaxPool2dGrad, MaxPool2dGradTaps)
def max_pool2d_grad(op: MaxPool2dGrad, operands: Types, results: Types) -> Cost:
    """A window compares its ``KH * KW`` elements with the maximum to find it again and adds its cotangent once.

    Where the maximum is not given, ``KH * KW - 1`` comparisons more.
    """
    again = _taps(op) - 1 if len(operands) < 3 else 0
    return Cost(pointwise=operands[0].size * (_taps(op) + 1 + again))


@cost_rule(AvgPool2dGrad, AvgPool2dGradTaps)
def avg_pool2d_grad(op: AvgPool2dGrad, operands: Types, results: Types) -> Cost:
    """A window divides its cotangent once and adds it to ``KH * KW`` elements."""
    return Cost(pointwise=operands[0].size * (_taps(op) + 1))


def _taps(op: PoolOp) -> int:
    return op.kernel_size[0] * op.kernel_size[1]
