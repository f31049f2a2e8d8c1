"""Batch roles of products with the patch matrix. Images are (C, H, W, N)."""

from __future__ import annotations

from convir.ir.ops import Im2colMatMul, Im2colMatMulGradInput, Im2colMatMulGradWeight
from convir.passes.batch.chwn import convolved, correlated, scattered
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(Im2colMatMul)
def im2col_matmul(op: Im2colMatMul, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself, with one weight for all."""
    return convolved(op, op.activation, roles, operands, results)


@batch_rule(Im2colMatMulGradInput)
def im2col_matmul_grad_input(op: Im2colMatMulGradInput, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each cotangent by itself, with one weight for all."""
    return scattered(op, roles, operands)


@batch_rule(Im2colMatMulGradWeight)
def im2col_matmul_grad_weight(op: Im2colMatMulGradWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Summed over the batch."""
    return correlated(op, roles, operands)
