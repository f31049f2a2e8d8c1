"""Costs of Winograd's transforms: what the rows' matrix does to every column, then the columns' to every row.

The products between them are a matrix product and count as one.
"""

from __future__ import annotations

from convir.ir.cook_toom import Matrix
from convir.ir.ops import (
    WinogradInput,
    WinogradOp,
    WinogradOutput,
    WinogradOutputGrad,
    WinogradWeight,
    WinogradWeightGrad,
)
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


def operations(matrix: Matrix) -> int:
    """Multiplications by other numbers than 0, 1 and -1, and additions, of a product with one vector."""
    scaled = sum(abs(number) not in (0, 1) for row in matrix for number in row)
    return scaled + sum(max(0, sum(number != 0 for number in row) - 1) for row in matrix)


def sandwich(rows: Matrix, columns: Matrix) -> int:
    """Operations of ``rows @ X @ columns^T``, the left product first."""
    return operations(rows) * len(columns[0]) + operations(columns) * len(rows)


def transposed(matrix: Matrix) -> Matrix:
    """Columns as rows."""
    return tuple(zip(*matrix, strict=True))


@cost_rule(WinogradInput)
def winograd_input(op: WinogradInput, operands: Types, results: Types) -> Cost:
    """``B^T d B`` for each channel of each tile."""
    rows, columns = op.matrices
    return Cost(pointwise=results[0].size // op.places * sandwich(rows.input, columns.input))


@cost_rule(WinogradOutput)
def winograd_output(op: WinogradOutput, operands: Types, results: Types) -> Cost:
    """``A^T m A`` for each filter of each tile; an addition an output for the bias, and the fused activation."""
    rows, columns = op.matrices
    work = operands[0].size // op.places * sandwich(rows.output, columns.output)
    return Cost(pointwise=work) + epilogue(op.activation, results[0].size, len(operands) > 1)


@cost_rule(WinogradOutputGrad)
def winograd_output_grad(op: WinogradOutputGrad, operands: Types, results: Types) -> Cost:
    """``A dy A^T`` for each filter of each tile."""
    rows, columns = op.matrices
    work = sandwich(transposed(rows.output), transposed(columns.output))
    return Cost(pointwise=results[0].size // op.places * work)


@cost_rule(WinogradWeight, WinogradWeightGrad)
def winograd_weight(op: WinogradOp, operands: Types, results: Types) -> Cost:
    """``G g G^T``, or ``G^T dU G``, for each filter of each channel."""
    rows, columns = op.matrices
    pair = (rows.weight, columns.weight)
    if isinstance(op, WinogradWeightGrad):
        pair = (transposed(rows.weight), transposed(columns.weight))
    transformed = (operands if isinstance(op, WinogradWeightGrad) else results)[0]
    return Cost(pointwise=transformed.size // op.places * sandwich(*pair))
