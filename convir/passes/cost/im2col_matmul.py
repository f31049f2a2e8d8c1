"""Costs of products with the patch matrix: as many MACs as the convolution, in whatever blocks."""

from __future__ import annotations

from math import prod

from convir.ir.ops import Im2colMatMul, Im2colMatMulGradInput, Im2colMatMulGradWeight
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(Im2colMatMul)
def im2col_matmul(op: Im2colMatMul, operands: Types, results: Types) -> Cost:
    """``O * OH * OW * N * C/groups * KH * KW`` MACs; pointwise the bias and the fused activation."""
    (_, weight, *bias), (result,) = operands, results
    return Cost(macs=result.size * prod(weight.shape[1:])) + epilogue(op.activation, result.size, bool(bias))


@cost_rule(Im2colMatMulGradInput)
def im2col_matmul_grad_input(op: Im2colMatMulGradInput, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution; pointwise an addition for each element of the patch matrix."""
    grad, weight = operands
    patches = op.groups * prod(weight.shape[1:]) * prod(grad.shape[1:])
    return Cost(grad.size * prod(weight.shape[1:]), patches)


@cost_rule(Im2colMatMulGradWeight)
def im2col_matmul_grad_weight(op: Im2colMatMulGradWeight, operands: Types, results: Types) -> Cost:
    """As many MACs as the convolution; pointwise what each block but the first adds to the weights."""
    grad, (weight,) = operands[0], results
    blocks = prod(-(-total // size) for total, size in zip(grad.shape[1:], op.window_block(grad.shape), strict=True))
    return Cost(grad.size * prod(weight.shape[1:]), (blocks - 1) * weight.size)
