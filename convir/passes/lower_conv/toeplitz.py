"""Convolution by blocks of output rows: a patch matrix with fewer columns, and a weight matrix with more rows.

Plain ``im2col`` multiplies a matrix of O rows, and BLAS needs some tens of rows to reach its speed: six
filters get a third of it. P neighbouring output rows read overlapping windows, so one taller window of
``KH + (P-1)*S`` rows serves them all, and each row has filters of its own over it, the same ones moved
down: a banded Toeplitz matrix over the rows. Such a convolution has ``P*O`` filters and stride ``P*S``,
and is lowered by im2col::

    conv2d(x, w, stride=S)  =>  depth_to_rows(conv2d(x, toeplitz_weight(w), stride=P*S))

The patch matrix has
``(1 + (P-1)*S/KH)/P`` as many elements, and so has what col2im adds up; the product has
``1 + (P-1)*S/KH`` as many operations, the added ones with zeros (so NaN and infinity in the input
spread over their block of rows). P follows from the shapes, see :func:`block_rows`; where no block
pays it is 1, which is im2col.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from convir.ir import Node, Shape, Value
from convir.ir.ops import (
    BroadcastTo,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    DepthToRows,
    Reshape,
    RowsToDepth,
    ToeplitzWeight,
    ToeplitzWeightGrad,
)
from convir.passes.lower_conv.im2col import emit_conv2d, emit_grad_input, emit_grad_weight
from convir.passes.lower_conv.strategy import TO_CHWN, TO_NCHW, Strategy
from convir.passes.rewrite import Rewriter

#: A product with M rows runs at M / (M + HALF_SPEED_ROWS) of the speed that many rows have (OpenBLAS 0.3, AVX2).
HALF_SPEED_ROWS = 8

#: Elements copied to or from a patch matrix, or put in order, take as long as so many MACs at full speed.
COPY_MACS = 10

#: The largest block: past it the products with zeros outweigh what is left to win.
MOST_ROWS = 4

_Conv = TypeVar("_Conv", bound=ConvOp)


def block_rows(op: ConvOp, weight: Shape, rows: int) -> int:
    """How many output rows a block has: the divisor of ``rows`` for which a model of the time is least.

    Args:
        op: the convolution or a gradient of it.
        weight: (O, C/groups, KH, KW)
        rows: output rows.

    The time for each output element, in multiples of what its MACs take at full speed, is
    ``r * (1 + H/m) + r * c/m + [P > 1] * c/k`` with ``r = 1 + (P-1)*S/KH`` the operations that the block adds,
    ``m = P*O/groups`` rows of the product, ``k`` MACs an element, H and c the two constants above. Dilated
    windows leave rows out, and have no blocks.
    """
    if op.dilation[0] != 1:
        return 1
    filters, channels, height, width = weight

    def seconds(block: int) -> float:
        growth = 1 + (block - 1) * op.stride[0] / height
        product = block * filters // op.groups
        order = COPY_MACS / (channels * height * width) if block > 1 else 0
        return growth * (1 + (HALF_SPEED_ROWS + COPY_MACS) / product) + order

    return min((block for block in range(1, MOST_ROWS + 1) if rows % block == 0), key=seconds)


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => depth_to_rows(conv2d(x, toeplitz_weight(w), repeat(b)))``"""
    op, (image, weight, *bias), result = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2d)
    block = block_rows(op, weight.type.shape, result[2])
    if block == 1:
        return emit_conv2d(rewriter, op, operands, node.name)
    wide = [image, _widened(rewriter, op, weight, block), *(_repeated(rewriter, vector, block) for vector in bias)]
    blocks = rewriter.emit(TO_CHWN, emit_conv2d(rewriter, _blocked(op, block), wide))
    return rewriter.emit(TO_NCHW, rewriter.emit(DepthToRows(block), blocks, name=node.name))


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => toeplitz_weight_grad(conv2d_grad_weight(rows_to_depth(dy), x))``"""
    op, (grad, image), shape = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2dGradWeight)
    block = block_rows(op, shape, grad.type.shape[2])
    if block == 1:
        return emit_grad_weight(rewriter, op, grad, image, shape, node.name)
    filters, channels, height, width = shape
    height += (block - 1) * op.stride[0]
    wide = replace(_blocked(op, block), kernel_size=(height, width))
    blocks = _in_blocks(rewriter, grad, block)
    found = emit_grad_weight(rewriter, wide, blocks, image, (filters * block, channels, height, width))
    return rewriter.emit(ToeplitzWeightGrad(block, op.stride[0]), found, name=node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => conv2d_grad_input(rows_to_depth(dy), toeplitz_weight(w))``"""
    op, (grad, weight), shape = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2dGradInput)
    block = block_rows(op, weight.type.shape, grad.type.shape[2])
    if block == 1:
        return emit_grad_input(rewriter, op, grad, weight, shape)
    wide = _widened(rewriter, op, weight, block)
    return emit_grad_input(rewriter, _blocked(op, block), _in_blocks(rewriter, grad, block), wide, shape)


def _blocked(op: _Conv, block: int) -> _Conv:
    """The convolution of whole blocks; its windows start where those of every first row do."""
    return replace(op, stride=(op.stride[0] * block, op.stride[1]))


def _widened(rewriter: Rewriter, op: ConvOp, weight: Value, block: int) -> Value:
    return rewriter.emit(ToeplitzWeight(block, op.stride[0]), weight)


def _repeated(rewriter: Rewriter, bias: Value, block: int) -> Value:
    """Each filter's bias for each row of its block."""
    (filters,) = bias.type.shape
    column = rewriter.emit(Reshape((filters, 1)), bias)
    return rewriter.emit(Reshape((filters * block,)), rewriter.emit(BroadcastTo((filters, block)), column))


def _in_blocks(rewriter: Rewriter, image: Value, block: int) -> Value:
    """(N, O, OH, OW) as (N, O*P, OH/P, OW)."""
    return rewriter.emit(TO_NCHW, rewriter.emit(RowsToDepth(block), rewriter.emit(TO_CHWN, image)))


TOEPLITZ = Strategy(
    "toeplitz",
    "im2col by blocks of output rows, as many as pay",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
)
