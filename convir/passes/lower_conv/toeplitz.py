"""Convolution by blocks of outputs: a patch matrix with fewer columns, and a weight matrix with more rows.

Plain ``im2col`` multiplies a matrix of O rows, and BLAS needs some tens of rows to reach its speed: six
filters get a third of it. P x Q neighbouring outputs read overlapping windows, so one larger window of
``KH + (P-1)*S`` rows serves them all, and each output has filters of its own over it, the same ones moved
on: banded Toeplitz matrices. Such a convolution has ``P*Q*O`` filters and stride ``P*S, Q*T``, and is
lowered by im2col::

    conv2d(x, w, stride=S)  =>  depth_to_space(conv2d(x, toeplitz_weight(w), stride=block*S))

With ``r = (1 + (P-1)*S/KH) * (1 + (Q-1)*T/KW)`` the patch matrix has ``r/(P*Q)`` as many elements, and so has
what col2im adds up; the product has ``r`` as many operations, the added ones with zeros (so NaN and
infinity in the input spread over their block). Blocks follow from the shapes, see :func:`choose_block`; where
none pays it is (1, 1), which is im2col. Blocks that are the windows of a pooling behind the convolution need
not be put in their places, see :mod:`convir.passes.pool_blocks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import TypeVar

from convir.ir import Node, Shape, Value
from convir.ir.ops import (
    BroadcastTo,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    DepthToSpace,
    MaxPool2d,
    MaxPool2dGrad,
    Reshape,
    SpaceToDepth,
    ToeplitzWeight,
    ToeplitzWeightGrad,
)
from convir.ir.ops.window import Pair
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.im2col import emit_conv2d, emit_grad_input, emit_grad_weight
from convir.passes.lower_conv.im2col import operations as of_im2col
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter

#: A product with M rows runs at M / (M + HALF_SPEED_ROWS) of the speed that many rows have (OpenBLAS 0.3, AVX2).
HALF_SPEED_ROWS = 8

#: Elements copied to or from a patch matrix, or put in order, take as long as so many MACs at full speed; twice as
#: long where blocks have several columns, since the runs that are copied are as short as the batch.
COPY_MACS = 10

#: What pooling an output takes longer, forward and backward, where its windows are not the blocks.
POOL_MACS = 16

#: The most rows of a block, and outputs: past it the products with zeros outweigh what is left to win.
MOST = 4

_Conv = TypeVar("_Conv", bound=ConvOp)


def choose_block(op: ConvOp, weight: Shape, size: Pair, window: Pair | None = None) -> Pair:
    """Rows and columns of a block: those that divide ``size`` and for which a model of the time is least.

    Args:
        op: the convolution or a gradient of it.
        weight: (O, C/groups, KH, KW)
        size: output rows and columns.
        window: of the pooling that reads the outputs and has no overlaps, if there is one.

    The time for each output element, in multiples of what its MACs take at full speed, is
    ``r * (1 + (H + c)/m) + [put in order] * c/k + [not as pooled] * p/k`` with ``r`` the operations that the block
    adds, ``m = P*Q*O/groups`` rows of the product, ``k`` MACs an element, and H, c and p the constants above. Blocks
    have several columns only where a pooling does: otherwise the copies are not worth it. Dilated windows leave rows
    out, and have no blocks.
    """
    if op.dilation != (1, 1):
        return (1, 1)
    filters, channels, height, width = weight
    macs = channels * height * width

    def seconds(block: Pair) -> float:
        reach = ((count - 1) * step for count, step in zip(block, op.stride, strict=True))
        growth = prod(1 + more / taps for more, taps in zip(reach, (height, width), strict=True))
        rows = prod(block) * filters // op.groups
        copied = COPY_MACS if block[1] == 1 else 2 * COPY_MACS
        moved = 0 if block in ((1, 1), window) else copied / macs
        pooled = POOL_MACS / macs if window not in (None, block) else 0
        return growth * (1 + (HALF_SPEED_ROWS + copied) / rows) + moved + pooled

    return min(_candidates(size, window), key=seconds)


def _candidates(size: Pair, window: Pair | None) -> Iterator[Pair]:
    for rows in range(1, MOST + 1):
        if size[0] % rows == 0:
            yield (rows, 1)
    if window is not None and prod(window) <= MOST and not (size[0] % window[0] or size[1] % window[1]):
        yield window


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => depth_to_space(conv2d(x, toeplitz_weight(w), repeat(b)))``"""
    op, (image, weight, *bias), result = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2d)
    readers = (user.op for user in rewriter.graph.consumers[node.outputs[0].name])
    window = next((_tiling(pool) for pool in readers if isinstance(pool, MaxPool2d)), None)
    block = choose_block(op, weight.type.shape, (result[2], result[3]), window)
    if block == (1, 1):
        return emit_conv2d(rewriter, op, operands, node.name)
    wide = [image, _widened(rewriter, op, weight, block)]
    wide += [_repeated(rewriter, vector, prod(block)) for vector in bias]
    blocks = rewriter.emit(TO_CHWN, emit_conv2d(rewriter, _blocked(op, block), wide))
    return rewriter.emit(TO_NCHW, rewriter.emit(DepthToSpace(block), blocks, name=node.name))


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => toeplitz_weight_grad(conv2d_grad_weight(space_to_depth(dy), x))``"""
    op, (grad, image), shape = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2dGradWeight)
    block = _block_of_gradient(rewriter, node, op, shape)
    if block == (1, 1):
        return emit_grad_weight(rewriter, op, grad, image, shape, node.name)
    widen = ToeplitzWeight(block, op.stride)
    (wide,) = widen.infer(node.outputs[0].type)
    convolution = replace(_blocked(op, block), kernel_size=(wide.shape[2], wide.shape[3]))
    found = emit_grad_weight(rewriter, convolution, _in_blocks(rewriter, grad, block), image, wide.shape)
    return rewriter.emit(ToeplitzWeightGrad(block, op.stride), found, name=node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => conv2d_grad_input(space_to_depth(dy), toeplitz_weight(w))``"""
    op, (grad, weight), shape = node.op, operands, node.outputs[0].type.shape
    assert isinstance(op, Conv2dGradInput)
    block = _block_of_gradient(rewriter, node, op, weight.type.shape)
    if block == (1, 1):
        return emit_grad_input(rewriter, op, grad, weight, shape)
    wide = _widened(rewriter, op, weight, block)
    return emit_grad_input(rewriter, _blocked(op, block), _in_blocks(rewriter, grad, block), wide, shape)


def _block_of_gradient(rewriter: Rewriter, node: Node, op: ConvOp, weight: Shape) -> Pair:
    """The block that the forward has: its pooling's gradient is what the cotangent comes from."""
    grad = node.inputs[0]
    producer = rewriter.graph.producers.get(grad.name)
    window = _tiling(producer.op) if producer and isinstance(producer.op, MaxPool2dGrad) else None
    return choose_block(op, weight, (grad.type.shape[2], grad.type.shape[3]), window)


def _tiling(op: MaxPool2d | MaxPool2dGrad) -> Pair | None:
    """The windows of a pooling in which no pixel is twice, or left out."""
    plain = op.padding == (0, 0) and op.dilation == (1, 1) and op.stride == op.kernel_size
    return op.kernel_size if plain else None


def _blocked(op: _Conv, block: Pair) -> _Conv:
    """The convolution of whole blocks; its windows start where those of every first output do."""
    return replace(op, stride=(op.stride[0] * block[0], op.stride[1] * block[1]))


def _widened(rewriter: Rewriter, op: ConvOp, weight: Value, block: Pair) -> Value:
    return rewriter.emit(ToeplitzWeight(block, op.stride), weight)


def _repeated(rewriter: Rewriter, bias: Value, count: int) -> Value:
    """Each filter's bias for each output of its block."""
    (filters,) = bias.type.shape
    column = rewriter.emit(Reshape((filters, 1)), bias)
    return rewriter.emit(Reshape((filters * count,)), rewriter.emit(BroadcastTo((filters, count)), column))


def _in_blocks(rewriter: Rewriter, image: Value, block: Pair) -> Value:
    """(N, O, OH, OW) as (N, O*P*Q, OH/P, OW/Q)."""
    return rewriter.emit(TO_NCHW, rewriter.emit(SpaceToDepth(block), rewriter.emit(TO_CHWN, image)))


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``r = (1 + (P-1)*S/KH) * (1 + (Q-1)*T/KW)`` times the MACs of im2col, each time, with blocks of P x Q outputs.

    For the image pointwise ``r/(P*Q)`` of its additions, for the weight ``P*Q - 1`` for each weight. The blocks are
    those of a layer that no pooling reads; where they are (1, 1) all is as with im2col.
    """
    op, (_, channels, height, width) = layer.op, layer.weight.shape
    block = choose_block(op, layer.weight.shape, (layer.result.shape[2], layer.result.shape[3]))
    if block == (1, 1):
        return of_im2col(layer)
    taller, wider = (height + (block[0] - 1) * op.stride[0], width + (block[1] - 1) * op.stride[1])
    macs = layer.result.size * channels * taller * wider
    added = layer.image.shape[1] * taller * wider * layer.positions // prod(block)
    return Parts(Cost(macs) + layer.epilogue, Cost(macs, added), Cost(macs, (prod(block) - 1) * layer.weight.size))


#: ``summed``: the zeros of a larger window count as operations, but neither they nor their products round.
TOEPLITZ = Strategy(
    "toeplitz",
    "im2col by blocks of outputs, as large as pays",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    operations=_operations,
    error_bound=summed,
)
