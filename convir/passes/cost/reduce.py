"""Costs of reductions."""

from __future__ import annotations

from convir.ir.ops import Max, MaxGrad, Mean, Sum
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Sum, Max)
def fold(op: Sum | Max, operands: Types, results: Types) -> Cost:
    """Folding ``n`` elements into one takes ``n - 1`` additions or comparisons: elements in minus elements out."""
    return Cost(pointwise=operands[0].size - results[0].size)


@cost_rule(Mean)
def mean(op: Mean, operands: Types, results: Types) -> Cost:
    """The additions of a sum and a division for each result: as many as there are elements to average."""
    return Cost(pointwise=operands[0].size)


@cost_rule(MaxGrad)
def max_grad(op: MaxGrad, operands: Types, results: Types) -> Cost:
    """Compare each element, count the equal ones, divide once for each maximum, multiply each element.

    ``elements + (elements - maxima) + maxima + elements = 3 * elements``
    """
    return Cost(pointwise=3 * results[0].size)
