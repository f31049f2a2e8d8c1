"""Batch roles that convolutions over images with the batch innermost share, whatever computes them."""

from __future__ import annotations

from convir.ir import Op
from convir.passes.batch.operand import MIXED, SUMMED, epilogue, operands_of, product
from convir.passes.batch.registry import Roles, Types

_BATCH = (MIXED, MIXED, MIXED, 3)
_MIXED = (MIXED, MIXED, MIXED, MIXED)
_SUMMED = (MIXED, MIXED, MIXED, SUMMED)


def convolved(op: Op, activation: str | None, roles: Roles, operands: Types, results: Types) -> Roles:
    """Of ``input, weight, bias?``: each image by itself, with one weight for all."""
    image, weight, *bias = operands_of(op, roles, operands, _BATCH, _MIXED, (MIXED,))
    return (epilogue(product(image, weight), bias, activation, results[0]),)


def scattered(op: Op, roles: Roles, operands: Types) -> Roles:
    """Of ``grad, weight``: each cotangent by itself, with one weight for all."""
    grad, weight = operands_of(op, roles, operands, _BATCH, _MIXED)
    return (product(grad, weight),)


def correlated(op: Op, roles: Roles, operands: Types) -> Roles:
    """Of ``grad, input``: summed over the batch."""
    grad, image = operands_of(op, roles, operands, _SUMMED, _SUMMED)
    return (product(grad, image),)
