"""Costs of the patch matrix and its adjoint."""

from __future__ import annotations

from convir.ir.ops import Col2im, Im2col
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Im2col)
def im2col(op: Im2col, operands: Types, results: Types) -> Cost:
    """A gather: nothing is computed."""
    return Cost()


@cost_rule(Col2im)
def col2im(op: Col2im, operands: Types, results: Types) -> Cost:
    """One pointwise addition for each element of the patch matrix."""
    return Cost(pointwise=operands[0].size)
