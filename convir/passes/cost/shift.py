"""Costs of shifted products: as many columns as the runs are long, see ShiftOp.computed."""

from __future__ import annotations

from math import prod

from convir.ir.ops import ShiftedMatMul, ShiftedMatMulGradInput, ShiftedMatMulGradWeight
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(ShiftedMatMul)
def shifted_matmul(op: ShiftedMatMul, operands: Types, results: Types) -> Cost:
    """``KH*KW * O * C/groups`` MACs a column; pointwise its O products but the first added, bias and activation."""
    (image, weight, *bias), (result,) = operands, results
    columns = op.computed(image, result)
    added = (prod(weight.shape[:2]) - 1) * result.shape[0] * columns
    return Cost(weight.size * columns, added) + epilogue(op.activation, result.size, bool(bias))


@cost_rule(ShiftedMatMulGradInput)
def shifted_matmul_grad_input(op: ShiftedMatMulGradInput, operands: Types, results: Types) -> Cost:
    """``KH*KW * O * C/groups`` MACs a column; pointwise the C products of every tap added."""
    (grad, weight), (image,) = operands, results
    columns = op.computed(image, grad)
    return Cost(weight.size * columns, prod(weight.shape[:2]) * image.shape[0] * columns)


@cost_rule(ShiftedMatMulGradWeight)
def shifted_matmul_grad_weight(op: ShiftedMatMulGradWeight, operands: Types, results: Types) -> Cost:
    """``KH*KW * O * C/groups`` MACs a column; pointwise what each block but the first adds to the weights."""
    (grad, image), (weight,) = operands, results
    blocks = -(-grad.shape[1] // op.rows)
    return Cost(weight.size * op.computed(image, grad), (blocks - 1) * weight.size)
