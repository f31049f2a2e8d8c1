"""Winograd's transforms with NumPy: each is one matrix product with the Kronecker product of its two matrices.

``vec(X D Y^T) = (X kron Y) vec(D)``: more operations than one side after the other, but in one call of BLAS.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from convir.ir import TensorType
from convir.ir.cook_toom import Matrix
from convir.ir.ops import WinogradInput, WinogradOp, WinogradOutput, WinogradOutputGrad, WinogradWeight
from convir.ir.ops import WinogradWeightGrad as WeightGrad
from convir.runtime.kernels.activation import epilogue
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel

Types = Sequence[TensorType]


def _kron(rows: Matrix, columns: Matrix, like: Array) -> Array:
    """The Kronecker product, rounded once."""
    exact = [[a * b for a in row for b in column] for row in rows for column in columns]
    return np.array([[float(number) for number in line] for line in exact], like.dtype)


def _transposed(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


def _tiles(image: Array, size: tuple[int, int], step: tuple[int, int], count: tuple[int, int]) -> Array:
    """``image`` (C, H, W, N) as a view (rows of a tile, its columns, C, tiles down, tiles across, N)."""
    by_channel, by_row, by_column, by_sample = image.strides
    return as_strided(
        image,
        (*size, image.shape[0], *count, image.shape[3]),
        (by_row, by_column, by_channel, by_row * step[0], by_column * step[1], by_sample),
    )


def _tiles_scratch(op: WinogradOp, operands: Types, results: Types) -> Types:
    """The tiles of the image, one after the other: as large as the outputs, and inputs as often as tiles see them."""
    if isinstance(op, WinogradInput):
        transformed = results[0]
        return [transformed.with_shape((prod(op.window), *transformed.shape[1:]))]
    return [(results if isinstance(op, WinogradOutput) else operands)[0]]


@kernel(WinogradInput, scratch=_tiles_scratch)
def winograd_input(op: WinogradInput, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Tiles in order, then one product."""
    (image,), (result, tiles) = inputs, outputs
    view = _tiles(image, op.window, op.step, op.tiles((image.shape[1], image.shape[2])))
    rows, columns = op.matrices
    transform = _kron(rows.input, columns.input, image)
    return in_order([
        copied(tiles.reshape(view.shape), view),
        partial(np.matmul, transform, tiles.reshape(transform.shape[1], -1), result.reshape(op.places, -1)),
    ])  # fmt: skip


@kernel(WinogradOutput, scratch=_tiles_scratch)
def winograd_output(op: WinogradOutput, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One product, then tiles to their places, bias and activation."""
    products, *bias = inputs
    result, tiles = outputs
    view = _tiles(result, op.tile, op.tile, op.tiles_across)
    rows, columns = op.matrices
    transform = _kron(rows.output, columns.output, products)
    flat = tiles.reshape(len(transform), -1)
    # Bias and activation on the tiles, which lie in order, and then each to its place.
    by_filter = tiles.reshape(len(transform), result.shape[0], -1)
    return in_order([
        partial(np.matmul, transform, products.reshape(op.places, -1), flat),
        *(partial(np.add, by_filter, vector[:, None], by_filter) for vector in bias),
        *epilogue(op.activation, flat),
        copied(view, tiles.reshape(view.shape)),
    ])  # fmt: skip


@kernel(WinogradOutputGrad, scratch=_tiles_scratch)
def winograd_output_grad(op: WinogradOutputGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Tiles in order, then one product."""
    (grad,), (result, tiles) = inputs, outputs
    count = (grad.shape[1] // op.tile[0], grad.shape[2] // op.tile[1])
    view = _tiles(grad, op.tile, op.tile, count)
    rows, columns = op.matrices
    transform = _kron(_transposed(rows.output), _transposed(columns.output), grad)
    return in_order([
        copied(tiles.reshape(view.shape), view),
        partial(np.matmul, transform, tiles.reshape(transform.shape[1], -1), result.reshape(op.places, -1)),
    ])  # fmt: skip


@kernel(WinogradWeight)
def winograd_weight(op: WinogradWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One product; the weight is read transposed."""
    weight, result = inputs[0], outputs[0]
    rows, columns = op.matrices
    transform = _kron(rows.weight, columns.weight, weight)
    taps = weight.reshape(-1, transform.shape[1]).T
    return partial(np.matmul, transform, taps, result.reshape(op.places, -1))


@kernel(WeightGrad)
def winograd_weight_grad(op: WeightGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One product, of which the result is the transpose."""
    grad, result = inputs[0], outputs[0]
    rows, columns = op.matrices
    transform = _kron(rows.weight, columns.weight, grad)
    return partial(np.matmul, grad.reshape(op.places, -1).T, transform, result.reshape(-1, transform.shape[1]))
