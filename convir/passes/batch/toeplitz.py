"""Batch roles of widening weights, of moving blocks to channels, and of the adjoints."""

from __future__ import annotations

from convir.ir.ops import DepthToSpace, SpaceToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.ir.ops.toeplitz import BlockOp, ToeplitzOp
from convir.passes.batch.operand import MIXED, operands_of, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(ToeplitzWeight, ToeplitzWeightGrad)
def toeplitz(op: ToeplitzOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; weights have no batch."""
    return (scaled(*operands_of(op, roles, operands, (MIXED,) * 4)),)


@batch_rule(DepthToSpace, SpaceToDepth)
def blocks(op: BlockOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; mixes channels, rows and columns."""
    return (scaled(*unmoved(op, roles, operands, mixed=(0, 1, 2))),)
