"""Batch roles of direct convolution and what goes with it. Activations are (C, H, W, N)."""

from __future__ import annotations

from convir.ir.ops import Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, FlipWeight
from convir.passes.batch.operand import MIXED, SUMMED, epilogue, operands_of, product, scaled, unmoved
from convir.passes.batch.registry import Roles, Types, batch_rule

_BATCH = (MIXED, MIXED, MIXED, 3)
_MIXED = (MIXED, MIXED, MIXED, MIXED)
_SUMMED = (MIXED, MIXED, MIXED, SUMMED)


@batch_rule(Conv2dDirect)
def conv2d_direct(op: Conv2dDirect, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself, with one weight for all."""
    image, weight, *bias = operands_of(op, roles, operands, _BATCH, _MIXED, (MIXED,))
    return (epilogue(product(image, weight), bias, op.activation, results[0]),)


@batch_rule(Conv2dDirectGradWeight)
def conv2d_direct_grad_weight(op: Conv2dDirectGradWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Summed over the batch."""
    grad, image = operands_of(op, roles, operands, _SUMMED, _SUMMED)
    return (product(grad, image),)


@batch_rule(FlipWeight)
def flip_weight(op: FlipWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; weights have no batch."""
    return (scaled(*operands_of(op, roles, operands, _MIXED)),)


@batch_rule(Dilate2d)
def dilate2d(op: Dilate2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; mixes rows and columns."""
    return (scaled(*unmoved(op, roles, operands, mixed=(1, 2))),)
