"""Costs of widening weights to blocks of outputs, of their blocks, and of the adjoints."""

from __future__ import annotations

from math import prod

from convir.ir.ops import DepthToSpace, SpaceToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(ToeplitzWeight, DepthToSpace, SpaceToDepth)
def moves(op: ToeplitzWeight | DepthToSpace | SpaceToDepth, operands: Types, results: Types) -> Cost:
    """Nothing is computed."""
    return Cost()


@cost_rule(ToeplitzWeightGrad)
def toeplitz_weight_grad(op: ToeplitzWeightGrad, operands: Types, results: Types) -> Cost:
    """``P*Q - 1`` pointwise additions for each weight."""
    return Cost(pointwise=(prod(op.block) - 1) * results[0].size)
