"""Batch roles of matrix multiplication."""

from __future__ import annotations

from convir.ir import TensorType
from convir.ir.ops import MatMul
from convir.passes.batch.operand import SUMMED, Destinations, aligned, epilogue, operands_of, product
from convir.passes.batch.registry import Roles, Types, batch_rule


@batch_rule(MatMul)
def matmul(op: MatMul, roles: Roles, operands: Types, results: Types) -> Roles:
    """Samples along rows, columns or a leading axis stay by themselves; along the inner one they are summed."""
    (result,) = results
    rows, columns = result.rank - 2, result.rank - 1
    a, b, *bias = operands_of(
        op,
        roles,
        operands,
        _destinations(operands[0], result, (SUMMED, rows) if op.transpose_a else (rows, SUMMED)),
        _destinations(operands[1], result, (columns, SUMMED) if op.transpose_b else (SUMMED, columns)),
        *(aligned(type.rank, result.rank) for type in operands[2:]),
    )
    return (epilogue(product(a, b), bias, op.activation, result),)


def _destinations(operand: TensorType, result: TensorType, matrix: tuple[int, int]) -> Destinations:
    """Leading axes broadcast; the last two go where ``matrix`` says."""
    return (*aligned(operand.rank - 2, result.rank - 2), *matrix)
