"""Costs of direct convolution."""

from __future__ import annotations

from math import prod

from convir.ir.ops import Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, FlipWeight
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Conv2dDirect)
def conv2d_direct(op: Conv2dDirect, operands: Types, results: Types) -> Cost:
    """``O * OH * OW * N * C/groups * KH * KW`` MACs; pointwise the bias and the fused activation."""
    (result,) = results
    return Cost(macs=result.size * prod(operands[1].shape[1:])) + epilogue(
        op.activation, result.size, len(operands) > 2
    )


@cost_rule(Conv2dDirectGradWeight)
def conv2d_direct_grad_weight(op: Conv2dDirectGradWeight, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution."""
    return Cost(macs=operands[0].size * prod(results[0].shape[1:]))


@cost_rule(FlipWeight, Dilate2d)
def moves(op: FlipWeight | Dilate2d, operands: Types, results: Types) -> Cost:
    """Nothing is computed."""
    return Cost()
