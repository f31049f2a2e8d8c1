"""Batch roles of shifted products. Images are (C, SH*SW*H, W, N)."""

from __future__ import annotations

from convir.ir.ops import ShiftedMatMul, ShiftedMatMulGradInput, ShiftedMatMulGradWeight
from convir.passes.batch.chwn import convolved, correlated, scattered
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(ShiftedMatMul)
def shifted_matmul(op: ShiftedMatMul, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each image by itself, with one weight for all."""
    return convolved(op, op.activation, roles, operands, results)


@batch_rule(ShiftedMatMulGradInput)
def shifted_matmul_grad_input(op: ShiftedMatMulGradInput, roles: Roles, operands: Types, results: Types) -> Roles:
    """Each cotangent by itself, with one weight for all."""
    return scattered(op, roles, operands)


@batch_rule(ShiftedMatMulGradWeight)
def shifted_matmul_grad_weight(op: ShiftedMatMulGradWeight, roles: Roles, operands: Types, results: Types) -> Roles:
    """Summed over the batch."""
    return correlated(op, roles, operands)
