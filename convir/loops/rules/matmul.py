"""Matrix multiplication."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import MatMul
from convir.loops.affine import Axis, index_of
from convir.loops.expr import Reduce, add, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated
from convir.loops.rules.maps import result_axes


@loops(MatMul)
def matmul(op: MatMul, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """``y[..., i, j] = act(sum over r of a[..., i, r] * b[..., r, j] + bias[..., i, j])``"""
    a, b, *bias = operands
    axes = result_axes(results[0].type.shape)
    *batch, row, column = index_of(axes)
    inner = a.type.shape[-2] if op.transpose_a else a.type.shape[-1]
    left = a.broadcast(*batch, *(("r", row) if op.transpose_a else (row, "r")))
    right = b.broadcast(*batch, *((column, "r") if op.transpose_b else ("r", column)))
    value = Reduce("add", ("r",), mul(left, right))
    total = add(value, bias[0].broadcast(*batch, row, column)) if bias else value
    store = results[0].store((*batch, row, column), activated(op.activation, total))
    return Program((Nest(axes, (Axis("r", inner),), (store,)),))
