"""Costs of element-by-element arithmetic."""

from __future__ import annotations

from convir.ir.ops import Add, BinaryOp, Div, Exp, Log, Mul, Neg, Sqrt, Sub, UnaryOp
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Add, Sub, Mul, Div, Neg, Exp, Log, Sqrt)
def elementwise(op: BinaryOp | UnaryOp, operands: Types, results: Types) -> Cost:
    """One pointwise operation for each element of the (broadcast) result."""
    return Cost(pointwise=results[0].size)
