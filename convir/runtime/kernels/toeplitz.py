"""Weights and rows of convolutions that compute a block of output rows at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from convir.ir.ops import DepthToRows, RowsToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.ir.ops.toeplitz import ToeplitzOp
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@kernel(ToeplitzWeight)
def toeplitz_weight(op: ToeplitzWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Zeros, then one copy of the weight for each row of the block."""
    weight, wide = inputs[0], outputs[0]
    copies: list[Step] = [partial(np.copyto, band, weight) for band in _bands(op, wide, weight.shape[2])]
    return in_order([partial(np.copyto, wide, scalar(0, wide)), *copies])


@kernel(ToeplitzWeightGrad)
def toeplitz_weight_grad(op: ToeplitzWeightGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The first row's part, then the others added to it."""
    wide, weight = inputs[0], outputs[0]
    first, *others = _bands(op, wide, weight.shape[2])
    adds: list[Step] = [partial(np.add, weight, band, weight) for band in others]
    return in_order([partial(np.copyto, weight, first), *adds])


@kernel(DepthToRows)
def depth_to_rows(op: DepthToRows, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy, in runs of a row times the batch."""
    return partial(np.copyto, _blocks(outputs[0], op.rows).swapaxes(1, 2), _channels(inputs[0], op.rows))


@kernel(RowsToDepth)
def rows_to_depth(op: RowsToDepth, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy, in runs of a row times the batch."""
    return partial(np.copyto, _channels(outputs[0], op.rows), _blocks(inputs[0], op.rows).swapaxes(1, 2))


def _blocks(image: Array, rows: int) -> Array:
    """(C, H, W, N) as (C, H/P, P, W, N)."""
    channels, height, *rest = image.shape
    return image.reshape(channels, height // rows, rows, *rest)


def _channels(image: Array, rows: int) -> Array:
    """(C*P, H, W, N) as (C, P, H, W, N)."""
    channels, *rest = image.shape
    return image.reshape(channels // rows, rows, *rest)


def _bands(op: ToeplitzOp, wide: Array, height: int) -> Iterator[Array]:
    """Where each row of the block has its weight (O, C/groups, KH, KW)."""
    for row in range(op.rows):
        top = row * op.stride
        yield wide[row :: op.rows, :, top : top + height]
