"""Costs of widening weights to blocks of output rows, of their rows, and of the adjoints."""

from __future__ import annotations

from convir.ir.ops import DepthToRows, RowsToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(ToeplitzWeight, DepthToRows, RowsToDepth)
def moves(op: ToeplitzWeight | DepthToRows | RowsToDepth, operands: Types, results: Types) -> Cost:
    """Nothing is computed."""
    return Cost()


@cost_rule(ToeplitzWeightGrad)
def toeplitz_weight_grad(op: ToeplitzWeightGrad, operands: Types, results: Types) -> Cost:
    """``P - 1`` pointwise additions for each weight."""
    return Cost(pointwise=(op.rows - 1) * results[0].size)
