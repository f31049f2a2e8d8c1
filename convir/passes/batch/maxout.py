"""Batch roles of maxout, which mixes channels only."""

from __future__ import annotations

from convir.ir.ops import Maxout, MaxoutGrad
from convir.passes.batch.operand import epilogue, joined, operands_of, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(Maxout)
def maxout(op: Maxout, roles: Roles, operands: Types, results: Types) -> Roles:
    """Not linear; the bias is added to each channel after it."""
    (image,) = unmoved(op, roles[:1], operands[:1], mixed=(0,))
    _, *bias = operands_of(op, roles, operands, (), (0,))
    return (epilogue(joined(image), bias, op.activation, results[0]),)


@batch_rule(MaxoutGrad)
def maxout_grad(op: MaxoutGrad, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in the cotangent."""
    return (scaled(*unmoved(op, roles, operands, mixed=(0,))),)
