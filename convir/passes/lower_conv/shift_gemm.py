"""Convolution as one matrix product for each kernel tap, added up on shifted runs of the image: no patch matrix.

The kn2row family: Vasudevan, Anderson and Gregg, *Parallel Multi Channel Convolution using General Matrix
Multiplication*, ASAP 2017; Anderson, Vasudevan, Keane and Gregg, *Low-memory GEMM-based convolution algorithms
for deep neural networks*, 2017::

    conv2d(x, w, b)           =>  shifted_matmul(components(pad(x)), taps(w), b)
    conv2d_grad_weight(dy, x) =>  taps^-1(shifted_matmul_grad_weight(dy, components(pad(x))))
    conv2d_grad_input(dy, w)  =>  crop(components^-1(shifted_matmul_grad_input(dy, taps(w))))

With the batch innermost, what a tap sees of a channel, window after window, is a run of memory that begins at
its first pixel: BLAS multiplies it where it lies, a matrix of C rows that are longer than it needs. The ends of
rows, where no window is, are multiplied as well and left away. A stride is undone beforehand, by one transpose
that divides the image into polyphase components; ``taps`` puts the weights of each tap side by side, which an
inference does once. Output rows are computed in blocks whose products take BLOCK_BYTES, so what the kernels
work in (two blocks, or a block and one tap's weights) depends on neither the kernel nor the image.

Where it pays, with NumPy: where groups have some 64 channels and filters or more, it takes as long as im2col forward
and less backward, in less than half of the memory, with a stride of 2 too. What it wastes is ``(KW-1)*D / SW``
columns of each row, so it wants wide images (3x3 over 14 columns: a seventh). A product of few channels is far from
BLAS's speed: with 3 channels, as in a first layer, it takes three times as long as im2col, with 1 (LeNet-5,
depthwise) five to twelve times. Groups of 8 channels are even.

Where a cotangent is 0, at the ends of rows, the weight gradient multiplies pixels by it: an infinite pixel, or NaN,
spreads to the taps of its channel that do not see it.
"""

from __future__ import annotations

from math import prod

from convir.ir import Node, TensorType, Value
from convir.ir.ops import (
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    PolyphaseOp,
    ShiftedMatMul,
    ShiftedMatMulGradInput,
    ShiftedMatMulGradWeight,
    Transpose,
)
from convir.ir.ops.window import Pair
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.polyphase import from_components, to_components
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter

#: Bytes of the products of a block of output rows, of one tap; larger blocks waste less on the ends of rows.
BLOCK_BYTES = 2**20

#: (O, C/groups, KH, KW) to (KH, KW, O, C/groups), and back.
_TAPS_FIRST = Transpose((2, 3, 0, 1))


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => shifted_matmul(components(pad(x)), transpose(w), b)``"""
    op, (image, weight, *bias) = node.op, operands
    assert isinstance(op, Conv2d)
    components = to_components(rewriter, op, image, _kernel(weight))
    rows = _block_rows(op, image.type, node.outputs[0].type, _kernel(weight))
    product = ShiftedMatMul(op.stride, op.dilation, op.groups, rows, op.activation)
    taps = rewriter.emit(_TAPS_FIRST, weight)
    return rewriter.emit(TO_NCHW, rewriter.emit(product, components, taps, *bias, name=node.name))


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => transpose(shifted_matmul_grad_weight(dy, components(pad(x))))``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    components = to_components(rewriter, op, image, op.kernel_size)
    rows = _block_rows(op, image.type, grad.type, op.kernel_size)
    product = ShiftedMatMulGradWeight(op.stride, op.dilation, op.groups, rows, op.kernel_size)
    taps = rewriter.emit(product, rewriter.emit(TO_CHWN, grad), components)
    return rewriter.emit(_TAPS_FIRST, taps, name=node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => crop(components^-1(shifted_matmul_grad_input(dy, transpose(w))))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    rows = _block_rows(op, node.outputs[0].type, grad.type, _kernel(weight))
    product = ShiftedMatMulGradInput(op.stride, op.dilation, op.groups, rows)
    components = rewriter.emit(product, rewriter.emit(TO_CHWN, grad), rewriter.emit(_TAPS_FIRST, weight))
    return from_components(rewriter, op, components, op.input_size, _kernel(weight))


def _kernel(weight: Value) -> Pair:
    return weight.type.shape[2], weight.type.shape[3]


def _block_rows(op: ConvOp, image: TensorType, result: TensorType, kernel: Pair) -> int:
    """As many output rows as fit BLOCK_BYTES, with all filters or all channels, whichever are more."""
    batch, filters, rows, columns = result.shape
    width = columns + PolyphaseOp(op.stride, op.dilation).reach(kernel)[1]
    row = max(filters, image.shape[1]) * width * batch * result.itemsize
    return max(1, min(rows, BLOCK_BYTES // row))


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``O * C/groups * KH*KW`` MACs a column of which, with blocks of B output rows, there are

    ``N * (OH*OW + (OH - OH/B) * e)``, the quotient rounded up and ``e = (KW-1)*D // SW``: the windows, and the ends of
    rows between those of a block. Pointwise, a column: the additions of O sums of ``KH*KW`` products; for the image
    those of ``KH*KW * C`` products to it; for the weight, what each block but the first adds to it.
    """
    batch, filters, height, width = layer.result.shape
    kernel = (layer.weight.shape[2], layer.weight.shape[3])
    blocks = -(-height // _block_rows(layer.op, layer.image, layer.result, kernel))
    ends = (kernel[1] - 1) * layer.op.dilation[1] // layer.op.stride[1]
    columns = batch * (height * width + (height - blocks) * ends)
    macs, taps = layer.weight.size * columns, prod(kernel)
    return Parts(
        Cost(macs, (taps - 1) * filters * columns) + layer.epilogue,
        Cost(macs, taps * layer.image.shape[1] * columns),
        Cost(macs, (blocks - 1) * layer.weight.size),
    )


SHIFT_GEMM = Strategy(
    "shift_gemm",
    "one matrix product for each kernel tap with the shifted image, added up; no patch matrix",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    operations=_operations,
    error_bound=summed,
)
