"""Batch roles of convolution and its gradients. All three are linear in each of their first two operands."""

from __future__ import annotations

from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight
from convir.passes.batch.operand import MIXED, SUMMED, epilogue, operands_of, product
from convir.passes.batch.registry import Roles, Types, batch_rule

_BATCH = (0, MIXED, MIXED, MIXED)
_MIXED = (MIXED, MIXED, MIXED, MIXED)
_SUMMED = (SUMMED, MIXED, MIXED, MIXED)


@batch_rule(Conv2d)
def conv2d(op: Conv2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself, with one weight for all."""
    image, weight, *bias = operands_of(op, roles, operands, _BATCH, _MIXED, (MIXED,))
    return (epilogue(product(image, weight), bias, op.activation, results[0]),)


@batch_rule(Conv2dGradInput)
def conv2d_grad_input(op: Conv2dGradInput, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each cotangent by itself, with one weight for all."""
    grad, weight = operands_of(op, roles, operands, _BATCH, _MIXED)
    return (product(grad, weight),)


@batch_rule(Conv2dGradWeight)
def conv2d_grad_weight(op: Conv2dGradWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Summed over the batch."""
    grad, image = operands_of(op, roles, operands, _SUMMED, _SUMMED)
    return (product(grad, image),)
