"""Cost of drawing random numbers."""

from __future__ import annotations

from convir.ir.ops import DropoutMask
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(DropoutMask)
def dropout_mask(op: DropoutMask, operands: Types, results: Types) -> Cost:
    """Pointwise, an element: a comparison with ``p`` and a scaling; the generator's own work is not counted."""
    return Cost(pointwise=2 * results[0].size)
