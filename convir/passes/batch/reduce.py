"""Batch roles of reductions."""

from __future__ import annotations

from convir.ir.ops import Max, MaxGrad, Mean, ReduceOp, Sum
from convir.passes.batch.operand import MIXED, SUMMED, Destinations, joined, operands_of, scaled
from convir.passes.batch.registry import Roles, Types, batch_rule
from convir.passes.batch.roles import PartialMean, PartialSum


@batch_rule(Sum)
def sum_(op: Sum, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; over the batch axis a sum over the batch."""
    return (scaled(*operands_of(op, roles, operands, _kept(op, operands, SUMMED)), summed=PartialSum()),)


@batch_rule(Mean)
def mean(op: Mean, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; over the batch axis, with or without others, a mean over the batch."""
    return (scaled(*operands_of(op, roles, operands, _kept(op, operands, SUMMED)), summed=PartialMean()),)


@batch_rule(Max)
def max_(op: Max, roles: Roles, operands: Types, results: Types) -> Roles:
    """Not linear, and over the batch axis neither a sum nor a mean."""
    return (joined(*operands_of(op, roles, operands, _kept(op, operands, MIXED))),)


@batch_rule(MaxGrad)
def max_grad(op: MaxGrad, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in the cotangent; every other axis stays, whether the reduced ones are there or not."""
    everywhere = tuple(MIXED if axis in op.axes else axis for axis in range(operands[1].rank))
    reduced = everywhere if op.keepdims else tuple(axis for axis in everywhere if axis != MIXED)
    return (scaled(*operands_of(op, roles, operands, reduced, everywhere, reduced)),)


def _kept(op: ReduceOp, operands: Types, reduced: int) -> Destinations:
    """Where a reduction leaves the axes of its operand; ``reduced`` for those that it reduces."""
    gone = () if op.keepdims else op.axes
    return tuple(
        reduced if axis in op.axes else axis - sum(other < axis for other in gone) for axis in range(operands[0].rank)
    )
