"""Weights and places of convolutions that compute a block of outputs at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from math import prod

import numpy as np

from convir.ir.ops import DepthToSpace, SpaceToDepth, ToeplitzWeight, ToeplitzWeightGrad
from convir.ir.ops.toeplitz import BlockOp, ToeplitzOp
from convir.runtime.kernels.copy import copied
from convir.runtime.kernels.registry import Array, Step, in_order, kernel, scalar


@kernel(ToeplitzWeight)
def toeplitz_weight(op: ToeplitzWeight, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """Zeros, then one copy of the weight for each output of the block."""
    weight, wide = inputs[0], outputs[0]
    copies: list[Step] = [copied(band, weight) for band in _bands(op, wide, weight.shape)]
    return in_order([partial(np.copyto, wide, scalar(0, wide)), *copies])


@kernel(ToeplitzWeightGrad)
def toeplitz_weight_grad(op: ToeplitzWeightGrad, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """The first output's part, then the others added to it."""
    wide, weight = inputs[0], outputs[0]
    first, *others = _bands(op, wide, weight.shape)
    adds: list[Step] = [partial(np.add, weight, band, weight) for band in others]
    return in_order([copied(weight, first), *adds])


@kernel(DepthToSpace)
def depth_to_space(op: DepthToSpace, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy, in runs of a row times the batch, or of the batch where blocks have several columns."""
    return copied(_blocks(outputs[0], op), _planes(inputs[0], op))


@kernel(SpaceToDepth)
def space_to_depth(op: SpaceToDepth, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step:
    """One copy, in the same runs."""
    return copied(_planes(outputs[0], op), _blocks(inputs[0], op))


def _blocks(image: Array, op: BlockOp) -> Array:
    """(C, H*P, W*Q, N) as (C, P, Q, H, W, N)."""
    (channels, height, width, batch), (rows, columns) = image.shape, op.block
    parts = image.reshape(channels, height // rows, rows, width // columns, columns, batch)
    return parts.transpose(0, 2, 4, 1, 3, 5)


def _planes(image: Array, op: BlockOp) -> Array:
    """(C*P*Q, H, W, N) as (C, P, Q, H, W, N)."""
    channels, *rest = image.shape
    return image.reshape(channels // prod(op.block), *op.block, *rest)


def _bands(op: ToeplitzOp, wide: Array, shape: tuple[int, ...]) -> Iterator[Array]:
    """Where each output of the block has its weight, which is of this shape."""
    _, _, height, width = shape
    for place, (p, q) in enumerate(product(*map(range, op.block))):
        top, left = p * op.stride[0], q * op.stride[1]
        yield wide[place :: prod(op.block), :, top : top + height, left : left + width]
