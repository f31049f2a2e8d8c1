"""Batch roles of widening weights, of moving rows to channels, and of the adjoints."""

from __future__ import annotations

from convir.ir.ops import DepthToRows, RowsToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.ir.ops.toeplitz import RowBlockOp, ToeplitzOp
from convir.passes.batch.operand import MIXED, operands_of, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(ToeplitzWeight, ToeplitzWeightGrad)
def toeplitz(op: ToeplitzOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; weights have no batch."""
    return (scaled(*operands_of(op, roles, operands, (MIXED,) * 4)),)


@batch_rule(DepthToRows, RowsToDepth)
def row_blocks(op: RowBlockOp, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; mixes channels and rows."""
    return (scaled(*unmoved(op, roles, operands, mixed=(0, 1))),)
