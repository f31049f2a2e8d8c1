"""Winograd's minimal filtering: tiles of outputs with fewer multiplications.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016. Everything is in CHWN::

    conv2d(x, w, b)           =>  winograd_output(winograd_weight(w) @ winograd_input(pad(x)), b)
    conv2d_grad_input(dy, w)  =>  the same of pad(dy) with flip_weight(w)
    conv2d_grad_weight(dy, x) =>  winograd_weight_grad(winograd_output_grad(pad(dy)) @ winograd_input(pad(x))^T)

F(m x m, r x r) multiplies ``(m+r-1)^2`` times where the loop nest does ``m^2 r^2`` times: 2.25 times less for
F(2x2, 3x3), 4 times less for F(4x4, 3x3). The transforms add and multiply by small constants, ``O`` and ``C``
times less often than the products. Rounding grows with the tile. NaN and infinity spread over their tile. Images
that tiles do not fill get zeros below and to the right, and the results of those are cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir import Node, Shape, TensorType, Value
from convir.ir.cook_toom import CookToom
from convir.ir.ops import (
    CHWN,
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    Crop2d,
    FlipWeight,
    MatMul,
    Pad2d,
    Reshape,
    WinogradInput,
    WinogradOutput,
    WinogradOutputGrad,
    WinogradWeight,
    WinogradWeightGrad,
)
from convir.ir.ops.window import Pair
from convir.passes.cost import Cost
from convir.passes.cost.activation import epilogue
from convir.passes.cost.winograd import sandwich, transposed
from convir.passes.lower_conv.bounds import bilinear
from convir.passes.lower_conv.layer import ConvLayer
from convir.passes.lower_conv.layout import TO_CHWN, TO_NCHW
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.rewrite import Rewriter

#: Rows or columns of a tile's inputs, at most: each needs an interpolation point, and rounding grows with their powers.
MOST_INPUTS = 8


@dataclass(frozen=True)
class Winograd:
    """The rewrites for one size of tile.

    Attributes:
        tile: outputs of a tile, rows and columns.
    """

    tile: Pair

    def conv2d(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """``conv2d(x, w, b) => winograd_output(winograd_weight(w) @ winograd_input(pad(x)), b)``"""
        op, (image, weight, *bias) = node.op, operands
        assert isinstance(op, Conv2d)
        turned = rewriter.emit(TO_CHWN, image)
        result = self._convolve(rewriter, turned, weight, bias, op, name=node.name)
        return rewriter.emit(TO_NCHW, result)

    def grad_input(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """A convolution of the cotangent with the flipped weight, padded by the kernel's reach less the padding."""
        op, (grad, weight) = node.op, operands
        assert isinstance(op, Conv2dGradInput)
        padding = tuple(r - 1 - p for r, p in zip(weight.type.shape[2:], op.padding, strict=True))
        cut = [max(0, -p) for p in padding]
        turned = rewriter.emit(TO_CHWN, grad)
        if any(cut):
            turned = rewriter.emit(Crop2d(((cut[0], cut[0]), (cut[1], cut[1])), CHWN), turned)
        flipped = rewriter.emit(FlipWeight(op.groups), weight)
        around = Conv2d(padding=(max(0, padding[0]), max(0, padding[1])), groups=op.groups)
        return rewriter.emit(TO_NCHW, self._convolve(rewriter, turned, flipped, (), around))

    def grad_weight(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """Both operands transformed, multiplied place by place, and transformed back."""
        op, (grad, image) = node.op, operands
        assert isinstance(op, Conv2dGradWeight)
        shape = node.outputs[0].type.shape
        kernel = (shape[2], shape[3])
        filled = self._filled((grad.type.shape[2], grad.type.shape[3]))
        products = rewriter.emit(
            WinogradOutputGrad(self.tile, kernel), _fitted(rewriter, rewriter.emit(TO_CHWN, grad), (0, 0), filled)
        )
        turned = self._image(rewriter, rewriter.emit(TO_CHWN, image), kernel, op.padding, filled)
        matrices = (_grouped(rewriter, value, op.groups) for value in (products, turned))
        found = rewriter.emit(MatMul(transpose_b=True), *matrices)
        whole = rewriter.emit(Reshape((products.type.shape[0], *shape[:2])), found)
        return rewriter.emit(WinogradWeightGrad(self.tile, kernel), whole, name=node.name)

    def operations(self, layer: ConvLayer) -> Parts[Cost]:
        """``a_h*a_w * O * C/groups`` MACs a tile, a = m + r - 1, with ``N * OH/m_h * OW/m_w`` tiles, rounded up.

        Tiles of the image's gradient cover H x W. Pointwise the transforms of each tile (a channel, a filter) and of
        each filter of each channel, unless it is frozen; bias and activation of all that the tiles hold.
        """
        (filters, per_group), channels = layer.weight.shape[:2], layer.image.shape[1]
        rows, columns = self._matrices(layer)
        forward, backward = (self._tiles(layer.image.shape[0], each.shape) for each in (layer.result, layer.image))
        products = len(rows.input) * len(columns.input) * filters * per_group
        into, out = sandwich(rows.input, columns.input), sandwich(rows.output, columns.output)
        weights = 0 if layer.frozen else filters * per_group * sandwich(rows.weight, columns.weight)
        adjoint = filters * per_group * sandwich(transposed(rows.weight), transposed(columns.weight))
        back = sandwich(transposed(rows.output), transposed(columns.output))
        filled = epilogue(layer.op.activation, filters * forward * prod(self.tile), layer.biased)
        return Parts(
            Cost(products * forward, forward * (channels * into + filters * out) + weights) + filled,
            Cost(products * backward, backward * (filters * into + channels * out) + weights),
            Cost(products * forward, forward * (channels * into + filters * back) + adjoint),
        )

    def error_bound(self, layer: ConvLayer, unit_roundoff: float) -> Parts[float]:
        """See :func:`convir.passes.lower_conv.bounds.bilinear`."""
        tiles = self._tiles(layer.image.shape[0], layer.result.shape)
        return bilinear(layer, *self._matrices(layer), tiles, unit_roundoff)

    def _matrices(self, layer: ConvLayer) -> tuple[CookToom, CookToom]:
        return WinogradWeight(self.tile, (layer.weight.shape[2], layer.weight.shape[3])).matrices

    def _tiles(self, batch: int, shape: Shape) -> int:
        """Tiles of a batch of planes, which are the last two dimensions of ``shape``."""
        return batch * prod(-(-size // m) for size, m in zip(shape[2:], self.tile, strict=True))

    def _convolve(
        self, rewriter: Rewriter, image: Value, weight: Value, bias: tuple[Value, ...] | list[Value], op: Conv2d,
        name: str = "",
    ) -> Value:  # fmt: skip
        """(C, H, W, N) to (O, OH, OW, N)."""
        filters, _, *kernel = weight.type.shape
        window = (kernel[0], kernel[1])
        size = Conv2d(padding=op.padding).output_size((image.type.shape[1], image.type.shape[2]), window)
        filled = self._filled(size)
        factors = rewriter.emit(WinogradWeight(self.tile, window), weight)
        turned = self._image(rewriter, image, window, op.padding, filled)
        product = rewriter.emit(MatMul(), *(_grouped(rewriter, value, op.groups) for value in (factors, turned)))
        products = rewriter.emit(Reshape((factors.type.shape[0], filters, turned.type.shape[2])), product)
        across = (filled[0] // self.tile[0], filled[1] // self.tile[1])
        output = WinogradOutput(self.tile, window, across, op.activation)
        fits = filled == size
        result = rewriter.emit(output, products, *bias, name=name if fits else "")
        if fits:
            return result
        cut = Crop2d(((0, filled[0] - size[0]), (0, filled[1] - size[1])), CHWN)
        return rewriter.emit(cut, result, name=name)

    def _image(self, rewriter: Rewriter, image: Value, kernel: Pair, padding: Pair, filled: Pair) -> Value:
        """The transformed image, with zeros around it as far as the tiles go."""
        size = (filled[0] + kernel[0] - 1, filled[1] + kernel[1] - 1)
        return rewriter.emit(WinogradInput(self.tile, kernel), _fitted(rewriter, image, padding, size))

    def _filled(self, size: Pair) -> Pair:
        """``size``, up to whole tiles."""
        return -(-size[0] // self.tile[0]) * self.tile[0], -(-size[1] // self.tile[1]) * self.tile[1]


def _fitted(rewriter: Rewriter, image: Value, before: Pair, size: Pair) -> Value:
    """``image`` (C, H, W, N) with ``before`` zeros above and left of it, and as many after it as make ``size``."""
    height, width = image.type.shape[1:3]
    margins = ((before[0], size[0] - height - before[0]), (before[1], size[1] - width - before[1]))
    if not any(map(any, margins)):
        return image
    return rewriter.emit(Pad2d(margins, CHWN), image)


def _grouped(rewriter: Rewriter, value: Value, groups: int) -> Value:
    """(a*a, X, Y) as one matrix for each place and group."""
    places, rows, columns = value.type.shape
    return value if groups == 1 else rewriter.emit(Reshape((places * groups, rows // groups, columns)), value)


def _refuses(tile: Pair, op: ConvOp, weight: TensorType) -> str | None:
    """Why tiles of this size are not for a convolution."""
    if op.stride != (1, 1) or op.dilation != (1, 1):
        return f"needs stride 1 and dilation 1, and this one has stride {op.stride} and dilation {op.dilation}"
    height, width = weight.shape[2:]
    if max(m + r - 1 for m, r in zip(tile, (height, width), strict=True)) > MOST_INPUTS:
        return f"loses too many digits with kernels as large as {height}x{width}"
    return None if height > 1 or width > 1 else "saves nothing with a 1x1 kernel"


def _strategy(name: str, side: int) -> Strategy:
    tile = (side, side)
    rewrites = Winograd(tile)
    summary = f"Winograd's minimal filtering in tiles of {side}x{side} outputs"
    return Strategy(
        name,
        summary,
        rewrites.conv2d,
        rewrites.grad_input,
        rewrites.grad_weight,
        lambda op, image, weight: _refuses(tile, op, weight),
        operations=rewrites.operations,
        error_bound=rewrites.error_bound,
    )


WINOGRAD_2X2, WINOGRAD_4X4 = _strategy("winograd_2x2", 2), _strategy("winograd_4x4", 4)
