"""Convolution as loops over the padded image, batch innermost: no patch matrix.

Between the two transposes everything is in CHWN, where a kernel tap's view of a row is contiguous::

    conv2d(x, w, b)           =>  conv2d_direct(pad(x), w, b)
    conv2d_grad_weight(dy, x) =>  conv2d_direct_grad_weight(dy, pad(x))
    conv2d_grad_input(dy, w)  =>  conv2d_direct(pad(dilate(dy)), flip_weight(w))

Compiled, it reads the image as it lies and keeps a block of sums in registers (Zhang, Franchetti
and Low, *High Performance Zero-Memory Overhead Direct Convolutions*, ICML 2018). In NumPy it is one
matrix product for each kernel tap. With a stride the input gradient multiplies zeros.
"""

from __future__ import annotations

from convir.ir import Node, Value
from convir.ir.ops import (
    Conv2d,
    Conv2dDirect,
    Conv2dDirectGradWeight,
    Conv2dGradInput,
    Conv2dGradWeight,
)
from convir.passes.cost import Cost
from convir.passes.direct_gradient import emit_input_gradient
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW, to_padded
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


def lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => conv2d_direct(pad(x), w, b)``"""
    op, (image, *rest) = node.op, operands
    assert isinstance(op, Conv2d)
    direct = Conv2dDirect(op.stride, op.dilation, op.groups, op.activation)
    return rewriter.emit(TO_NCHW, rewriter.emit(direct, to_padded(rewriter, op, image), *rest, name=node.name))


def lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => conv2d_direct_grad_weight(dy, pad(x))``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    direct = Conv2dDirectGradWeight(op.stride, op.dilation, op.groups, op.kernel_size)
    return rewriter.emit(direct, rewriter.emit(TO_CHWN, grad), to_padded(rewriter, op, image), name=node.name)


def lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => conv2d_direct(pad(dilate(dy)), flip_weight(w))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    direct = Conv2dDirect(op.stride, op.dilation, op.groups)
    turned = rewriter.emit(TO_CHWN, grad)
    image = emit_input_gradient(rewriter, turned, weight, direct, op.input_size, op.padding)
    return rewriter.emit(TO_NCHW, image)


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """MACs of the loop nest forward and for the weight; for the image ``N*C*H*W * O/groups * KH*KW``.

    That gradient computes every pixel from a whole window of the dilated cotangent: with stride S some S^2 times as
    many MACs as the loop nest, the added ones with zeros.
    """
    per_pixel = layer.weight.size // layer.weight.shape[1] // layer.op.groups
    return Parts(Cost(layer.macs) + layer.epilogue, Cost(layer.image.size * per_pixel), Cost(layer.macs))


DIRECT = Strategy(
    "direct",
    "loops over the image as it lies, no patch matrix",
    lower_conv2d,
    lower_grad_input,
    lower_grad_weight,
    operations=_operations,
    error_bound=summed,
)
