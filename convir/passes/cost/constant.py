"""Cost of a value known at compile time."""

from __future__ import annotations

from convir.ir.ops import Constant
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Constant)
def constant(op: Constant, operands: Types, results: Types) -> Cost:
    """Nothing: the value is there before the first call."""
    return Cost()
