"""Cost of a matrix product."""

from __future__ import annotations

from convir.ir.ops import MatMul
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


@cost_rule(MatMul)
def matmul(op: MatMul, operands: Types, results: Types) -> Cost:
    """A MAC for each element of the result and of the inner dimension, leading dimensions included.

    Pointwise: an addition an output element for the bias, and the fused activation.
    """
    (result,) = results
    inner = operands[0].shape[-2 if op.transpose_a else -1]
    biased = len(operands) > 2
    return Cost(macs=result.size * inner) + epilogue(op.activation, result.size, biased)
