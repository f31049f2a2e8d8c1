"""Matrix multiplication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from convir.ir.ops import Im2colMatMul, MatMul
from convir.loops.affine import Axis, index_of
from convir.loops.expr import Reduce, add, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated
from convir.loops.rules.im2col_matmul import in_blocks
from convir.loops.rules.maps import result_axes

#: Bytes of the right operand that stay in the second cache, and with which rows it pays to copy more than that.
STAYS, ROWS, COLUMNS = 2**18, 32, 128


@loops(MatMul)
def matmul(op: MatMul, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """``y[..., i, j] = act(sum over r of a[..., i, r] * b[..., r, j] + bias[..., i, j])``"""
    a, b, *bias = operands
    if _is_large(op, operands):
        return _packed(op, operands, results[0])
    axes = result_axes(results[0].type.shape)
    *batch, row, column = index_of(axes)
    inner = a.type.shape[-2] if op.transpose_a else a.type.shape[-1]
    left = a.broadcast(*batch, *(("r", row) if op.transpose_a else (row, "r")))
    right = b.broadcast(*batch, *((column, "r") if op.transpose_b else ("r", column)))
    value = Reduce("add", ("r",), mul(left, right))
    total = add(value, bias[0].broadcast(*batch, row, column)) if bias else value
    store = results[0].store((*batch, row, column), activated(op.activation, total))
    return Program((Nest(axes, (Axis("r", inner),), (store,)),))


def _is_large(op: MatMul, operands: Sequence[Operand]) -> bool:
    """Whether the right operand is better copied, block by block, to where its rows lie next to each other."""
    a, b, *bias = (operand.type for operand in operands)
    if op.transpose_a or op.transpose_b or (a.rank, b.rank) != (2, 2) or any(v.shape != (a.shape[0], 1) for v in bias):
        return False
    return b.nbytes > STAYS and a.shape[0] >= ROWS and b.shape[1] >= COLUMNS


def _packed(op: MatMul, operands: Sequence[Operand], result: Operand) -> Program:
    """A product is a 1x1 convolution of one row, and its patches are blocks of the right operand."""
    a, b, *bias = operands
    (rows, inner), columns = a.type.shape, b.type.shape[1]
    shaped = [
        replace(b, type=b.type.with_shape((inner, 1, columns, 1))),
        replace(a, type=a.type.with_shape((rows, inner, 1, 1))),
        *(replace(vector, type=vector.type.with_shape((rows,))) for vector in bias),
    ]
    convolution = Im2colMatMul(
        channels=inner, columns=max(1, STAYS // (inner * b.type.itemsize)), activation=op.activation
    )
    return in_blocks(convolution, shaped, replace(result, type=result.type.with_shape((rows, 1, columns, 1))))
