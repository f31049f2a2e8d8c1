"""Costs of moving elements: no arithmetic; the bytes are in :mod:`convir.passes.cost.work`."""

from __future__ import annotations

from convir.ir.ops import BroadcastTo, Crop2d, Flatten, LayoutOp, Pad2d, Reshape, Slice2d, Slice2dGrad, Transpose
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Reshape, Flatten, Transpose, BroadcastTo, Pad2d, Crop2d, Slice2d, Slice2dGrad)
def move(op: LayoutOp, operands: Types, results: Types) -> Cost:
    """Nothing is computed."""
    return Cost()
