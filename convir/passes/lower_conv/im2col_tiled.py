"""im2col with the patch matrix made a block at a time, so that it never takes more than a budget of bytes.

The patch matrix is ``KH*KW`` times as large as the image, written once and read once by the product. A block of
it that stays in the second cache of a core need not go through memory, and takes the same room whatever the image
and the batch (Chetlur et al., *cuDNN: Efficient Primitives for Deep Learning*, 2014, makes such blocks in the
fast memory of a GPU)::

    conv2d(x, w, b)           =>  im2col_matmul(pad(x), w, b)
    conv2d_grad_weight(dy, x) =>  im2col_matmul_grad_weight(dy, pad(x))
    conv2d_grad_input(dy, w)  =>  crop(im2col_matmul_grad_input(dy, w))

A block is the patches of some channels at some output rows; where not even one row fits the budget, at some
pixels of a row, or some samples of a pixel. Forward the channels of a group stay together, since the product
sums over them; gradients take as few as leave room for COLUMNS columns. ``im2col_tiled(budget)`` is the
strategy with another budget, to be used in ``conv=`` in place of its name.

Where it pays, with NumPy: where the patch matrix is far larger than the caches. Forward takes 0.7 (depthwise) to
1.0 of im2col's time and both gradients 1.0 to 1.3, with a third to a half of the memory in all. BLAS wants a hundred
columns: with 512 channels and a 3x3 kernel the default budget has room for 14, and the forward, which reads the
whole weight for each 14, takes twice as long; with a budget of 2 MiB a tenth longer.

Compiled, the patches of a block are as few bytes, and where all terms of a sum leave room for too few columns, some
channels are added at a time, in sums of at most 256 columns of all filters beside them. Rows that are read with a
stride, or that are shorter than a vector, become runs of memory in the patches: there it is what the Numba backend
takes, see :func:`convir.runtime.preference.tiled_compiled`. Both gradients run by NumPy.

A budget for less than two columns of one group is refused (the weight gradient takes half of it for what a block
adds).
"""

from __future__ import annotations

from functools import partial
from math import prod

from convir.ir import Node, TensorType, UnsupportedError, Value
from convir.ir.ops import (
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    Im2colMatMul,
    Im2colMatMulGradInput,
    Im2colMatMulGradWeight,
)
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW, from_padded, to_padded
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter

#: Half of the second cache of a core, where that has 512 KiB; the same everywhere, so that plans are.
BUDGET = 2**18

#: Columns that a block has where the budget lets it: rows long enough to be copied fast, and for BLAS.
COLUMNS = 512


def im2col_tiled(budget: int = BUDGET) -> Strategy:
    """The strategy whose kernels work in at most ``budget`` bytes.

    Raises:
        UnsupportedError: the budget is not a positive integer.
    """
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise UnsupportedError(f"the budget of im2col_tiled is a positive number of bytes, got {budget!r}")
    return Strategy(
        "im2col_tiled" if budget == BUDGET else f"im2col_tiled({budget})",
        "patch matrix in blocks that stay in cache, and a matrix product for each",
        partial(_lower_conv2d, budget),
        partial(_lower_grad_input, budget),
        partial(_lower_grad_weight, budget),
        partial(_refuses, budget),
        operations=partial(_operations, budget),
        error_bound=summed,
    )


def _lower_conv2d(budget: int, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => im2col_matmul(pad(x), w, b)``"""
    op, (image, weight, *bias) = node.op, operands
    assert isinstance(op, Conv2d)
    block = _block(budget, op, weight.type, node.outputs[0].type, together=weight.type.shape[1])
    product = Im2colMatMul(op.stride, op.dilation, op.groups, *block, op.activation)
    result = rewriter.emit(product, to_padded(rewriter, op, image), weight, *bias, name=node.name)
    return rewriter.emit(TO_NCHW, result)


def _lower_grad_weight(budget: int, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => im2col_matmul_grad_weight(dy, pad(x))``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    block = _block(budget // 2, op, node.outputs[0].type, grad.type, together=1)
    product = Im2colMatMulGradWeight(op.stride, op.dilation, op.groups, *block, op.kernel_size)
    return rewriter.emit(product, rewriter.emit(TO_CHWN, grad), to_padded(rewriter, op, image), name=node.name)


def _lower_grad_input(budget: int, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => crop(im2col_matmul_grad_input(dy, w))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    block = _block(budget, op, weight.type, grad.type, together=1)
    size = (op.input_size[0] + 2 * op.padding[0], op.input_size[1] + 2 * op.padding[1])
    product = Im2colMatMulGradInput(op.stride, op.dilation, op.groups, *block, size)
    return from_padded(rewriter, op, rewriter.emit(product, rewriter.emit(TO_CHWN, grad), weight))


def _block(budget: int, op: ConvOp, weight: TensorType, result: TensorType, together: int) -> tuple[int, int]:
    """How many channels and columns of the patch matrix fit the budget.

    Args:
        budget: bytes.
        op: the convolution or a gradient of it.
        weight: (O, C/groups, KH, KW)
        result: (N, O, OH, OW)
        together: channels that must not be divided.
    """
    per_group, taps = weight.shape[1], prod(weight.shape[2:])
    numbers, total = budget // weight.itemsize, result.size // result.shape[1]
    channels = max(together, min(per_group * op.groups, numbers // (taps * min(COLUMNS, total))))
    if channels >= per_group:
        channels -= channels % per_group
    return channels, min(total, numbers // (channels * taps))


def _operations(budget: int, layer: ConvLayer) -> Parts[Cost]:
    """MACs of the loop nest; for the image pointwise an addition for each element of the patch matrix.

    For the weight, what each block of columns but the first adds to it: with c columns that fit half of the budget
    there are ``OH / (c // (OW*N))`` blocks of rows, else ``OH * OW / (c // N)`` of pixels, else ``OH * OW * N / c`` of
    samples, each quotient rounded up.
    """
    macs = Cost(layer.macs)
    _, columns = _block(budget // 2, layer.op, layer.weight, layer.result, together=1)
    batch, _, height, width = layer.result.shape
    if columns >= width * batch:
        blocks = -(-height // (columns // (width * batch)))
    elif columns >= batch:
        blocks = height * -(-width // (columns // batch))
    else:
        blocks = height * width * -(-batch // columns)
    added = (blocks - 1) * layer.weight.size
    return Parts(macs + layer.epilogue, Cost(layer.macs, layer.patches), Cost(layer.macs, added))


def _refuses(budget: int, op: ConvOp, image: TensorType, weight: TensorType) -> str | None:
    least = 2 * prod(weight.shape[1:]) * weight.itemsize
    if budget >= least:
        return None
    return f"needs a budget of at least {least} bytes here, two columns of the patch matrix, and has {budget}"


IM2COL_TILED = im2col_tiled()
