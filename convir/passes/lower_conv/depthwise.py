"""A depthwise convolution as shifted multiply-adds, without a matrix product.

Where every channel has filters of its own (groups = channels; Sifre, *Rigid-Motion Scattering for Image
Classification*, 2014; Howard et al., *MobileNets*, 2017), the patch matrix of a group has as many rows as
the kernel has taps and meets one filter, or few: the product is one of a matrix with a vector, which does two
operations for each number that im2col has written and read. Here each tap's weight multiplies a shifted run of
the image, which is added to the result, a block of channels at a time that stays in cache::

    conv2d(x, w, b)           =>  depthwise_conv2d(components(pad(x)), w, b)
    conv2d_grad_weight(dy, x) =>  depthwise_conv2d_grad_weight(dy, components(pad(x)))
    conv2d_grad_input(dy, w)  =>  crop(components^-1(depthwise_conv2d_grad_input(dy, w)))

With a stride the image is first divided into its polyphase components, by reshapes and a transpose, so that
runs stay runs.

Why it is an op of its own: in ordinary ops a 3x3 kernel is 9 slices, 9 products and 8 sums, each of which
reads and writes the whole activation (some 60 passes over memory where 2 will do), and MobileNet's 13 layers
would be 340 nodes instead of 13. OpenVINO rewrites into such ops for an accelerator that has nothing else
(``GroupConvolutionDecomposition``); TVM (``topi.nn.depthwise_conv2d``) and MLIR (``tosa.depthwise_conv2d``) have an
op, with one reduction over the taps, as here. What it computes is in its equation, and its cost and its loops are
those of the taps.

Where it pays, with NumPy: MobileNet's layers take 0.8 to 1.2 of im2col's time forward and 0.4 to 0.9 for both
gradients, in two fifths of the memory. Many filters of one channel (LeNet-5's first layer: 6, of 25 taps) are a
product that im2col does in half of the time. With Numba ``direct`` is as fast forward, and faster backward.
"""

from __future__ import annotations

from convir.ir import Node, TensorType, Value
from convir.ir.ops import (
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    DepthwiseConv2d,
    DepthwiseConv2dGradInput,
    DepthwiseConv2dGradWeight,
)
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.polyphase import from_components, to_components
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => depthwise_conv2d(components(pad(x)), w, b)``"""
    op, (image, weight, *bias) = node.op, operands
    assert isinstance(op, Conv2d)
    components = to_components(rewriter, op, image, (weight.type.shape[2], weight.type.shape[3]))
    depthwise = DepthwiseConv2d(op.stride, op.dilation, op.activation)
    return rewriter.emit(TO_NCHW, rewriter.emit(depthwise, components, weight, *bias, name=node.name))


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => depthwise_conv2d_grad_weight(dy, components(pad(x)))``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    components = to_components(rewriter, op, image, op.kernel_size)
    depthwise = DepthwiseConv2dGradWeight(op.stride, op.dilation, op.kernel_size)
    return rewriter.emit(depthwise, rewriter.emit(TO_CHWN, grad), components, name=node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => crop(components^-1(depthwise_conv2d_grad_input(dy, w)))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    depthwise = DepthwiseConv2dGradInput(op.stride, op.dilation, weight.type.shape[0] // op.groups)
    components = rewriter.emit(depthwise, rewriter.emit(TO_CHWN, grad), weight)
    return from_components(rewriter, op, components, op.input_size, (weight.type.shape[2], weight.type.shape[3]))


def _refuses(op: ConvOp, image: TensorType, weight: TensorType) -> str | None:
    channels = image.shape[1]
    if op.groups == channels:
        return None
    return f"needs as many groups as there are input channels, {channels}, and has groups={op.groups}"


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``O * KH*KW * N * ((OH-1)*(OW+e) + OW)`` MACs, ``e = (KW-1)*D // SW``; for the weight those of the loop nest.

    A run of memory goes through the ends of rows, e columns of each but the last, in which no window is.
    """
    batch, _, height, width = layer.result.shape
    ends = (layer.weight.shape[3] - 1) * layer.op.dilation[1] // layer.op.stride[1]
    macs = Cost(layer.weight.size * batch * ((height - 1) * (width + ends) + width))
    return Parts(macs + layer.epilogue, macs, Cost(layer.macs))


DEPTHWISE = Strategy(
    "depthwise",
    "one filter, or few, for each channel by itself: shifted multiply-adds, no product",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    _refuses,
    operations=_operations,
    error_bound=summed,
)
