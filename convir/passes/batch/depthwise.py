"""Batch roles of depthwise convolution. Images are (C, SH*SW*H, W, N)."""

from __future__ import annotations

from convir.ir.ops import DepthwiseConv2d, DepthwiseConv2dGradInput, DepthwiseConv2dGradWeight
from convir.passes.batch.chwn import convolved, correlated, scattered
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(DepthwiseConv2d)
def depthwise_conv2d(op: DepthwiseConv2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself, with one weight for all."""
    return convolved(op, op.activation, roles, operands, results)


@batch_rule(DepthwiseConv2dGradInput)
def depthwise_conv2d_grad_input(op: DepthwiseConv2dGradInput, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each cotangent by itself, with one weight for all."""
    return scattered(op, roles, operands)


@batch_rule(DepthwiseConv2dGradWeight)
def depthwise_conv2d_grad_weight(op: DepthwiseConv2dGradWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Summed over the batch."""
    return correlated(op, roles, operands)
