"""Gradients of matrix multiplication."""

from __future__ import annotations

from convir.ir import Builder, Node, Value
from convir.ir.ops import MatMul
from convir.passes.grad.activation import through_activation
from convir.passes.grad.elementwise import unbroadcast
from convir.passes.grad.registry import gradient


@gradient(MatMul)
def matmul(builder: Builder, node: Node, cotangent: Value) -> list[Value | None]:
    """``da = dz @ b^T; db = a^T @ dz; dbias = dz``, summed where an operand was broadcast, dz before the activation."""
    op = node.op
    assert isinstance(op, MatMul)
    a, b, *bias = node.inputs
    dz = through_activation(builder, node, cotangent)
    if op.transpose_a:
        da = builder.emit(MatMul(transpose_a=op.transpose_b, transpose_b=True), b, dz)
    else:
        da = builder.emit(MatMul(transpose_b=not op.transpose_b), dz, b)
    if op.transpose_b:
        db = builder.emit(MatMul(transpose_a=True, transpose_b=op.transpose_a), dz, a)
    else:
        db = builder.emit(MatMul(transpose_a=not op.transpose_a), a, dz)
    return [
        unbroadcast(builder, da, a.type),
        unbroadcast(builder, db, b.type),
        *(unbroadcast(builder, dz, vector.type) for vector in bias),
    ]
