"""A 1x1 convolution as one matrix product with the image itself.

The patch matrix of such a convolution is its input, with the batch innermost and every pixel a column, so
there is nothing to gather. A stride leaves pixels out, which is a copy of what is left; the zeros of a
padding are pixels as all others::

    conv2d(x, w, b)           =>  act(w @ slice(pad(x)) + b)
    conv2d_grad_weight(dy, x) =>  dy @ slice(pad(x))^T
    conv2d_grad_input(dy, w)  =>  crop(slice_grad(w^T @ dy))

Groups are one product each. The name is Howard et al.'s (*MobileNets*, 2017); Lin, Chen and Yan
(*Network In Network*, 2013) saw the product in the convolution. It refuses larger kernels.
"""

from __future__ import annotations

from convir.ir import Node, TensorType, Value
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp, MatMul, Reshape, Slice2d, Slice2dGrad
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW, from_padded, to_padded
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d(x, w, b) => act(w @ slice(pad(x)) + b)``"""
    op, (image, weight, *bias) = node.op, operands
    assert isinstance(op, Conv2d)
    batch, filters, rows, columns = node.outputs[0].type.shape
    pixels = _matrix(rewriter, op, _pixels(rewriter, op, image))
    vectors = [_matrix(rewriter, op, vector) for vector in bias]
    product = rewriter.emit(MatMul(activation=op.activation), _matrix(rewriter, op, weight), pixels, *vectors)
    result = rewriter.emit(Reshape((filters, rows, columns, batch)), product, name=node.name)
    return rewriter.emit(TO_NCHW, result)


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_weight(dy, x) => dy @ slice(pad(x))^T``"""
    op, (grad, image) = node.op, operands
    assert isinstance(op, Conv2dGradWeight)
    pixels = _matrix(rewriter, op, _pixels(rewriter, op, image))
    product = rewriter.emit(MatMul(transpose_b=True), _matrix(rewriter, op, rewriter.emit(TO_CHWN, grad)), pixels)
    return rewriter.emit(Reshape(node.outputs[0].type.shape), product, name=node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``conv2d_grad_input(dy, w) => crop(slice_grad(w^T @ dy))``"""
    op, (grad, weight) = node.op, operands
    assert isinstance(op, Conv2dGradInput)
    batch, channels, rows, columns = node.outputs[0].type.shape
    turned = rewriter.emit(TO_CHWN, grad)
    product = rewriter.emit(MatMul(transpose_a=True), _matrix(rewriter, op, weight), _matrix(rewriter, op, turned))
    pixels = rewriter.emit(Reshape((channels, *turned.type.shape[1:3], batch)), product)
    if op.stride != (1, 1):
        size = (rows + 2 * op.padding[0], columns + 2 * op.padding[1])
        pixels = rewriter.emit(Slice2dGrad(op.stride, size), pixels)
    return from_padded(rewriter, op, pixels)


def _pixels(rewriter: Rewriter, op: ConvOp, image: Value) -> Value:
    """The pixels of an NCHW activation that windows see, as (C, OH, OW, N)."""
    padded = to_padded(rewriter, op, image)
    return padded if op.stride == (1, 1) else rewriter.emit(Slice2d(op.stride), padded)


def _matrix(rewriter: Rewriter, op: ConvOp, value: Value) -> Value:
    """A value with channels or filters first as one matrix for each group."""
    rows, groups = value.type.shape[0], op.groups
    return rewriter.emit(Reshape((rows, -1) if groups == 1 else (groups, rows // groups, -1)), value)


def _refuses(op: ConvOp, image: TensorType, weight: TensorType) -> str | None:
    height, width = weight.shape[2:]
    return None if height == width == 1 else f"needs a 1x1 kernel, and this one is {height}x{width}"


def _operations(layer: ConvLayer) -> Parts[Cost]:
    """``N * OH * OW * O * C/groups`` MACs, each time."""
    macs = Cost(layer.macs)
    return Parts(macs + layer.epilogue, macs, macs)


POINTWISE = Strategy(
    "pointwise",
    "1x1 convolutions as one matrix product with the image",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    _refuses,
    operations=_operations,
    error_bound=summed,
)
