"""Costs of Fourier transforms that are computed as matrix products, and of the products between them.

A complex number times a real one is 2 MACs, times a complex one 4. Those of the transforms multiply by constants and
are no multiplications of data with data.
"""

from __future__ import annotations

from convir.ir.ops import ComplexMatMul, Dft2d, DftOp, Idft2d
from convir.ir.types import Shape
from convir.passes.cost.activation import epilogue
from convir.passes.cost.registry import Cost, Types, cost_rule


def _transform(op: DftOp, image: Shape) -> int:
    """MACs of a transform of (C, H, W, N) or to it: every column of pixels, then every row of frequencies."""
    channels, height, width, batch = image
    rows, columns = op.axes((height, width))
    return (rows.macs * width + columns.macs * op.frequencies[0]) * channels * batch


@cost_rule(Dft2d)
def dft2d(op: Dft2d, operands: Types, results: Types) -> Cost:
    """MACs of W real lines and F complex ones for each channel and sample, see FourierAxis.macs."""
    return Cost(_transform(op, operands[0].shape), multiplications=0)


@cost_rule(Idft2d)
def idft2d(op: Idft2d, operands: Types, results: Types) -> Cost:
    """As many MACs as the transform of its result; pointwise an addition for the bias, and the fused activation."""
    (result,) = results
    transform = Cost(_transform(op, result.shape), multiplications=0)
    return transform + epilogue(op.activation, result.size, len(operands) > 1)


@cost_rule(ComplexMatMul)
def complex_matmul(op: ComplexMatMul, operands: Types, results: Types) -> Cost:
    """4 MACs for each complex element of the results and of the inner dimension."""
    inner = operands[0].shape[1 if op.transpose_a else 2]
    return Cost(4 * (results[0].size // 2) * inner)
