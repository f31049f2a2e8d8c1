"""Costs of maxout."""

from __future__ import annotations

from convir.ir.ops import Maxout, MaxoutGrad
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Maxout)
def maxout(op: Maxout, operands: Types, results: Types) -> Cost:
    """``P - 1`` comparisons a result, an addition for the bias, and the fused activation."""
    count = results[0].size
    return Cost(pointwise=count * (op.pieces - 1)) + epilogue(op.activation, count, len(operands) > 1)


@cost_rule(MaxoutGrad)
def maxout_grad(op: MaxoutGrad, operands: Types, results: Types) -> Cost:
    """As for max pooling: ``P`` comparisons and one addition, and ``P - 1`` more where the maximum is not given."""
    again = op.pieces - 1 if len(operands) < 3 else 0
    return Cost(pointwise=operands[0].size * (op.pieces + 1 + again))
