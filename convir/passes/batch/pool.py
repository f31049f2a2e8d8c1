"""Batch roles of pooling, which mixes rows and columns only."""

from __future__ import annotations

from convir.ir.ops import (
    AvgPool2d,
    AvgPool2dGrad,
    AvgPool2dGradTaps,
    AvgPool2dTaps,
    AvgPoolOp,
    MaxPool2d,
    MaxPool2dGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    spatial_axes,
)
from convir.passes.batch.operand import epilogue, joined, operands_of, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(MaxPool2d, MaxPool2dTaps)
def max_pool2d(op: MaxPool2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Not linear; the bias is added to each channel after it."""
    (image,) = unmoved(op, roles[:1], operands[:1], mixed=spatial_axes(op.layout))
    _, *bias = operands_of(op, roles, operands, (), (op.layout.index("C"),))
    return (epilogue(joined(image), bias, op.activation, results[0]),)


@batch_rule(AvgPool2d, AvgPool2dTaps, AvgPool2dGrad, AvgPool2dGradTaps)
def avg_pool2d(op: AvgPoolOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear, and so is the gradient."""
    return (scaled(*unmoved(op, roles, operands, mixed=spatial_axes(op.layout))),)


@batch_rule(MaxPool2dGrad, MaxPool2dGradTaps)
def max_pool2d_grad(op: MaxPool2dGrad, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in the cotangent."""
    return (scaled(*unmoved(op, roles, operands, mixed=spatial_axes(op.layout))),)
