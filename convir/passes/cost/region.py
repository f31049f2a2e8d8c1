"""Costs of regions."""

from __future__ import annotations

from convir.ir.ops import Region
from convir.passes.cost.registry import Cost, Types, cost_of, cost_rule


@cost_rule(Region)
def region(op: Region, operands: Types, results: Types) -> Cost | None:
    """What the ops of the body cost together; unknown if that of one is."""
    total = Cost()
    for node in op.body.nodes:
        cost = cost_of(node.op, tuple(v.type for v in node.inputs), tuple(v.type for v in node.outputs))
        if cost is None:
            return None
        total = total + cost
    return total
