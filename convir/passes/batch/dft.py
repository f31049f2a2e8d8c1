"""Batch roles of Fourier transforms and of the products between them."""

from __future__ import annotations

from convir.ir.ops import ComplexMatMul, Dft2d, Idft2d
from convir.passes.batch.operand import MIXED, SUMMED, epilogue, operands_of, product, scaled
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(Dft2d)
def dft2d(op: Dft2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear; each image, and each channel, by itself."""
    return (scaled(*operands_of(op, roles, operands, (2, MIXED, MIXED, 3))),)


@batch_rule(Idft2d)
def idft2d(op: Idft2d, roles: Roles, operands: Types, results: Types) -> Roles:
    """Linear but for the epilogue."""
    spectrum, *bias = operands_of(op, roles, operands, (MIXED, MIXED, 0, 3, MIXED), (0,))
    return (epilogue(scaled(spectrum), bias, op.activation, results[0]),)


@batch_rule(ComplexMatMul)
def complex_matmul(op: ComplexMatMul, roles: Roles, operands: Types, results: Types) -> Roles:
    """Samples along rows or columns stay by themselves; along the inner dimension they are summed."""
    left = (SUMMED, 1) if op.transpose_a else (1, SUMMED)
    right = (2, SUMMED) if op.transpose_b else (SUMMED, 2)
    return (product(*operands_of(op, roles, operands, (0, *left, MIXED), (0, *right, MIXED))),)
