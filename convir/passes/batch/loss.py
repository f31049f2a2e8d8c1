"""Batch roles of losses."""

from __future__ import annotations

from convir.ir import UnsupportedError
from convir.ir.ops import CrossEntropy, CrossEntropyGrad
from convir.passes.batch.operand import MIXED, SUMMED, joined, operands_of, scaled
from convir.passes.batch.registry import Roles, Types, batch_rule
from convir.passes.batch.roles import PartialMean, PerSample


@batch_rule(CrossEntropy)
def cross_entropy(op: CrossEntropy, roles: Roles, operands: Types, results: Types) -> Roles:
    """A mean over the batch."""
    logits = (SUMMED, MIXED) if op.class_axis == 1 else (MIXED, SUMMED)
    return (joined(*operands_of(op, roles, operands, logits, (SUMMED,)), summed=PartialMean()),)


@batch_rule(CrossEntropyGrad)
def cross_entropy_grad(op: CrossEntropyGrad, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear in the cotangent."""
    if any(isinstance(role, PerSample) for role in roles):
        raise UnsupportedError("it divides by the number of samples, and a tile would divide by its own")
    return (scaled(*operands_of(op, roles, operands, (), (MIXED, MIXED), (MIXED,))),)
