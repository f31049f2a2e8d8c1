"""Convolution as one matrix product with the patch matrix.

Chellapilla, Puri and Simard, *High Performance Convolutional Neural Networks for Document
Processing*, 2006. Everything between the two transposes is in CHWN, where the product
(O, C*KH*KW) @ (C*KH*KW, OH*OW*N) is the result with no further copy::

    conv2d(x, w, b)           =>  act(w @ im2col(pad(x)) + b)
    conv2d_grad_weight(dy, x) =>  dy @ im2col(pad(x))^T
    conv2d_grad_input(dy, w)  =>  crop(col2im(w^T @ dy))

A 1x1 convolution of stride 1 without padding needs no patches: its patch matrix is its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convir.ir import Node, Shape, Value
from convir.ir.ops import (
    CHWN,
    Col2im,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    Crop2d,
    Im2col,
    Margins,
    MatMul,
    Pad2d,
    Reshape,
)
from convir.passes.cost import Cost
from convir.passes.lower_conv.bounds import summed
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter


@dataclass(frozen=True)
class _Geometry:
    """The sizes of one convolution, and the reshapes that follow from them."""

    op: ConvOp
    batch: int
    channels: int
    size: tuple[int, int]
    filters: int
    kernel: tuple[int, int]
    output: tuple[int, int]

    @classmethod
    def of(cls, op: ConvOp, image: tuple[int, ...], weight: tuple[int, ...]) -> _Geometry:
        size, kernel = (image[2], image[3]), (weight[2], weight[3])
        return cls(op, image[0], image[1], size, weight[0], kernel, op.output_size(size, kernel))

    @property
    def margins(self) -> Margins:
        rows, columns = self.op.padding
        return ((rows, rows), (columns, columns))

    @property
    def needs_patches(self) -> bool:
        return self.kernel != (1, 1) or self.op.stride != (1, 1)

    @property
    def window(self) -> dict[str, Any]:
        return {"kernel_size": self.kernel, "stride": self.op.stride, "dilation": self.op.dilation}

    def grouped(self, rows: int, columns: int) -> Reshape:
        """A matrix of ``rows`` in all, as one matrix a group."""
        groups = self.op.groups
        return Reshape((rows, columns) if groups == 1 else (groups, rows // groups, columns))

    @property
    def positions(self) -> int:
        """Columns of the patch matrix: output pixels times batch."""
        return self.output[0] * self.output[1] * self.batch

    @property
    def taps(self) -> int:
        """Kernel taps over the channels of one group: the length of each dot product."""
        return self.channels // self.op.groups * self.kernel[0] * self.kernel[1]

    @property
    def weight_matrix(self) -> Reshape:
        return self.grouped(self.filters, self.taps)

    @property
    def result_matrix(self) -> Reshape:
        return self.grouped(self.filters, self.positions)

    @property
    def patch_matrix(self) -> Reshape:
        return self.grouped(self.taps * self.op.groups, self.positions)


def emit_conv2d(rewriter: Rewriter, op: Conv2d, operands: Sequence[Value], name: str = "") -> Value:
    """``conv2d(x, w, b) => act(w @ im2col(pad(x)) + b)``"""
    image, weight, *bias = operands
    geometry = _Geometry.of(op, image.type.shape, weight.type.shape)
    matrices = [rewriter.emit(geometry.weight_matrix, weight), _patches(rewriter, geometry, image)]
    matrices += [rewriter.emit(geometry.grouped(geometry.filters, 1), vector) for vector in bias]
    product = rewriter.emit(MatMul(activation=op.activation), *matrices)
    result = Reshape((geometry.filters, *geometry.output, geometry.batch))
    return rewriter.emit(TO_NCHW, rewriter.emit(result, product, name=name))


def emit_grad_weight(
    rewriter: Rewriter, op: Conv2dGradWeight, grad: Value, image: Value, shape: Shape, name: str = ""
) -> Value:
    """``conv2d_grad_weight(dy, x) => dy @ im2col(pad(x))^T``; ``shape`` is the weight's."""
    geometry = _Geometry.of(op, image.type.shape, shape)
    rows = rewriter.emit(geometry.result_matrix, rewriter.emit(TO_CHWN, grad))
    product = rewriter.emit(MatMul(transpose_b=True), rows, _patches(rewriter, geometry, image))
    return rewriter.emit(Reshape(shape), product, name=name)


def emit_grad_input(rewriter: Rewriter, op: Conv2dGradInput, grad: Value, weight: Value, shape: Shape) -> Value:
    """``conv2d_grad_input(dy, w) => crop(col2im(w^T @ dy))``; ``shape`` is the image's."""
    geometry = _Geometry.of(op, shape, weight.type.shape)
    rows = rewriter.emit(geometry.result_matrix, rewriter.emit(TO_CHWN, grad))
    matrix = rewriter.emit(geometry.weight_matrix, weight)
    return _from_patches(rewriter, geometry, rewriter.emit(MatMul(transpose_a=True), matrix, rows))


def _lower_conv2d(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    assert isinstance(node.op, Conv2d)
    return emit_conv2d(rewriter, node.op, operands, node.name)


def _lower_grad_weight(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    assert isinstance(node.op, Conv2dGradWeight)
    grad, image = operands
    return emit_grad_weight(rewriter, node.op, grad, image, node.outputs[0].type.shape, node.name)


def _lower_grad_input(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    assert isinstance(node.op, Conv2dGradInput)
    grad, weight = operands
    return emit_grad_input(rewriter, node.op, grad, weight, node.outputs[0].type.shape)


def _patches(rewriter: Rewriter, geometry: _Geometry, image: Value) -> Value:
    """The patch matrix of an NCHW activation."""
    image = rewriter.emit(TO_CHWN, image)
    if any(geometry.op.padding):
        image = rewriter.emit(Pad2d(geometry.margins, CHWN), image)
    if not geometry.needs_patches:
        return rewriter.emit(geometry.patch_matrix, image)
    matrix = rewriter.emit(Im2col(**geometry.window), image)
    return matrix if geometry.op.groups == 1 else rewriter.emit(geometry.patch_matrix, matrix)


def _from_patches(rewriter: Rewriter, geometry: _Geometry, patches: Value) -> Value:
    """The NCHW activation whose patch gradients these are."""
    (top, _), (left, _) = geometry.margins
    padded = (geometry.size[0] + 2 * top, geometry.size[1] + 2 * left)
    if not geometry.needs_patches:
        image = rewriter.emit(Reshape((geometry.channels, *padded, geometry.batch)), patches)
    else:
        whole = Reshape((geometry.taps * geometry.op.groups, geometry.positions))
        matrix = patches if geometry.op.groups == 1 else rewriter.emit(whole, patches)
        image = rewriter.emit(Col2im(**geometry.window, input_size=padded), matrix)
    if any(geometry.op.padding):
        image = rewriter.emit(Crop2d(geometry.margins, CHWN), image)
    return rewriter.emit(TO_NCHW, image)


def patch_bytes(layer: ConvLayer) -> int:
    """Bytes of the patch matrix, ``C*KH*KW * N*OH*OW * itemsize``; 0 where the image serves as one.

    With a KxK kernel, stride 1 and as many outputs as inputs it is K^2 times as large as the image.
    """
    return layer.patches * layer.image.itemsize if _makes_patches(layer) else 0


def operations(layer: ConvLayer) -> Parts[Cost]:
    """MACs of the loop nest; for the image pointwise an addition for each element of the patch matrix."""
    added = layer.patches if _makes_patches(layer) else 0
    return Parts(Cost(layer.macs) + layer.epilogue, Cost(layer.macs, added), Cost(layer.macs))


def _makes_patches(layer: ConvLayer) -> bool:
    return _Geometry.of(layer.op, layer.image.shape, layer.weight.shape).needs_patches


IM2COL = Strategy(
    "im2col",
    "patch matrix and one matrix product",
    _lower_conv2d,
    _lower_grad_input,
    _lower_grad_weight,
    operations=operations,
    error_bound=summed,
)
