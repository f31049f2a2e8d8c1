"""Winograd's minimal filtering: tiles of outputs with fewer multiplications.

Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016. Everything is in CHWN::

    conv2d(x, w, b)           =>  winograd_output(winograd_weight(w) @ winograd_input(pad(x)), b)
    conv2d_grad_input(dy, w)  =>  the same of pad(dy), upsampled by the stride, with flip_weight(w)
    conv2d_grad_weight(dy, x) =>  winograd_weight_grad(winograd_output_grad(pad(dy)) @ winograd_input(pad(x))^T)

F(m x m, r x r) multiplies ``(m+r-1)^2`` times where the loop nest does ``m^2 r^2`` times: 2.25 times less for
F(2x2, 3x3), 4 times less for F(4x4, 3x3). With stride s each phase of the taps, every s-th of them, is a correlation
of its own: 36/25 and 144/81 times less for 3x3 and stride 2 (Yepez and Ko, *Stride 2 1-D, 2-D, and 3-D Winograd for
Convolutional Neural Networks*, IEEE TVLSI 2020). The gradient of the image reads the cotangent as if there were zeros
between its pixels, and multiplies none of them. The transforms add and multiply by small constants, ``O`` and ``C``
times less often than the products. Rounding grows with the tile. NaN and infinity spread over their tile. Images that
tiles do not fill get zeros below and to the right, and the results of those are cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from convir.ir import Node, TensorType, Value
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
        tiling = _Tiling.of_result(self.tile, op, weight.type, node.outputs[0].type)
        turned = rewriter.emit(TO_CHWN, image)
        result = _convolve(rewriter, tiling, turned, weight, bias, op.activation, name=node.name)
        return rewriter.emit(TO_NCHW, result)

    def grad_input(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """A convolution of the cotangent, upsampled by the stride, with the flipped weight."""
        op, (grad, weight) = node.op, operands
        assert isinstance(op, Conv2dGradInput)
        tiling = _Tiling.of_image(self.tile, op, weight.type, node.outputs[0].type)
        turned = rewriter.emit(TO_CHWN, grad)
        flipped = rewriter.emit(FlipWeight(op.groups), weight)
        return rewriter.emit(TO_NCHW, _convolve(rewriter, tiling, turned, flipped))

    def grad_weight(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
        """Both operands transformed, multiplied place by place, and transformed back."""
        op, (grad, image) = node.op, operands
        assert isinstance(op, Conv2dGradWeight)
        weight = node.outputs[0].type
        tiling = _Tiling.of_result(self.tile, op, weight, grad.type)
        whole = _fitted(rewriter, rewriter.emit(TO_CHWN, grad), (0, 0), tiling.filled)
        products = rewriter.emit(WinogradOutputGrad(**tiling.attributes), whole)
        turned = _image(rewriter, tiling, rewriter.emit(TO_CHWN, image))
        matrices = (_grouped(rewriter, value, op.groups) for value in (products, turned))
        found = rewriter.emit(MatMul(transpose_b=True), *matrices)
        places = rewriter.emit(Reshape((tiling.transform.places, *weight.shape[:2])), found)
        return rewriter.emit(WinogradWeightGrad(**tiling.attributes), places, name=node.name)

    def operations(self, layer: ConvLayer) -> Parts[Cost]:
        """``a_h*a_w * O * C/groups`` MACs a tile, with ``N * OH/m_h * OW/m_w`` tiles, rounded up.

        a is m + r - 1, with a stride the sum of that over its phases; tiles of the image's gradient cover H x W, s*m of
        it each. Pointwise the transforms of each tile (a channel, a filter) and of each filter of each channel, unless
        it is frozen; bias and activation of all that the tiles hold.
        """
        batch, channels = layer.image.shape[:2]
        filters, per_group = layer.weight.shape[:2]
        ahead, back = self._tilings(layer)
        pairs, frozen = filters * per_group, 0 if layer.frozen else 1
        forward, backward = batch * prod(ahead.count), batch * prod(back.count)
        filled = epilogue(layer.op.activation, filters * batch * prod(ahead.filled), layer.biased)
        return Parts(
            Cost(ahead.transform.places * pairs * forward)
            + _pointwise(ahead, forward, channels, filters, pairs * frozen)
            + filled,
            Cost(back.transform.places * pairs * backward)
            + _pointwise(back, backward, filters, channels, pairs * frozen),
            Cost(ahead.transform.places * pairs * forward) + _adjoints(ahead, forward, channels, filters, pairs),
        )

    def error_bound(self, layer: ConvLayer, unit_roundoff: float) -> Parts[float]:
        """See :func:`convir.passes.lower_conv.bounds.bilinear`."""
        ahead, back = self._tilings(layer)
        tiles = layer.image.shape[0] * prod(ahead.count)
        return bilinear(layer, ahead.transform.matrices, back.transform.matrices, tiles, unit_roundoff)

    def _tilings(self, layer: ConvLayer) -> tuple[_Tiling, _Tiling]:
        """Of the result, and of the image for its gradient."""
        return (
            _Tiling.of_result(self.tile, layer.op, layer.weight, layer.result),
            _Tiling.of_image(self.tile, layer.op, layer.weight, layer.image),
        )


@dataclass(frozen=True)
class _Tiling:
    """How tiles cover what a convolution computes.

    Attributes:
        transform: of the weight; the other transforms have the same attributes.
        before: zeros that the first window sees above and left of the image; if negative, what it leaves out.
        size: rows and columns of the result.
        groups: of the convolution.
    """

    transform: WinogradWeight
    before: Pair
    size: Pair
    groups: int

    @staticmethod
    def of_result(tile: Pair, op: ConvOp, weight: TensorType, result: TensorType) -> _Tiling:
        """Over the result of a convolution, which the weight's gradient divides in the same way."""
        transform = WinogradWeight(tile, _spatial(weight), stride=op.stride)
        return _Tiling(transform, op.padding, _spatial(result), op.groups)

    @staticmethod
    def of_image(tile: Pair, op: ConvOp, weight: TensorType, image: TensorType) -> _Tiling:
        """Over the image, for its gradient: stride 1 over a cotangent with zeros between its pixels.

        With ``s - 1`` zeros behind each, and ``r - 1 - p`` before the first (r the kernel, p the padding): whole pixels
        of these are margins, the rest is the phase. A tile has m outputs of each of the s phases.
        """
        kernel = _spatial(weight)
        reach = [r - 1 - p for r, p in zip(kernel, op.padding, strict=True)]
        (top, above), (left, beside) = (divmod(zeros, s) for zeros, s in zip(reach, op.stride, strict=True))
        whole = (tile[0] * op.stride[0], tile[1] * op.stride[1])
        transform = WinogradWeight(whole, kernel, upsampling=op.stride, phase=(above, beside))
        return _Tiling(transform, (top, left), _spatial(image), op.groups)

    @property
    def attributes(self) -> dict[str, Any]:
        """What all transforms share."""
        return {
            name: getattr(self.transform, name) for name in ("tile", "kernel_size", "stride", "upsampling", "phase")
        }

    @property
    def count(self) -> Pair:
        """Tiles down and across."""
        rows, columns = (-(-size // m) for size, m in zip(self.size, self.transform.tile, strict=True))
        return rows, columns

    @property
    def filled(self) -> Pair:
        """``size``, up to whole tiles."""
        return self.count[0] * self.transform.tile[0], self.count[1] * self.transform.tile[1]


def _spatial(type: TensorType) -> Pair:
    """Rows and columns of NCHW or OIHW."""
    return type.shape[2], type.shape[3]


def _pointwise(tiling: _Tiling, tiles: int, channels: int, filters: int, pairs: int) -> Cost:
    """The transforms of ``channels`` and ``filters`` of each tile, and of each of the ``pairs`` of both."""
    rows, columns = tiling.transform.matrices
    into, out = sandwich(rows.input, columns.input), sandwich(rows.output, columns.output)
    return Cost(pointwise=tiles * (channels * into + filters * out) + pairs * sandwich(rows.weight, columns.weight))


def _adjoints(tiling: _Tiling, tiles: int, channels: int, filters: int, pairs: int) -> Cost:
    """The same for the weight's gradient."""
    rows, columns = tiling.transform.matrices
    into = sandwich(rows.input, columns.input)
    back, weight = (sandwich(*(transposed(getattr(m, name)) for m in (rows, columns))) for name in ("output", "weight"))
    return Cost(pointwise=tiles * (channels * into + filters * back) + pairs * weight)


def _convolve(
    rewriter: Rewriter, tiling: _Tiling, image: Value, weight: Value, bias: Sequence[Value] = (),
    activation: str | None = None, name: str = "",
) -> Value:  # fmt: skip
    """(C, H, W, N) to (O, OH, OW, N)."""
    factors = rewriter.emit(WinogradWeight(**tiling.attributes), weight)
    turned = _image(rewriter, tiling, image)
    product = rewriter.emit(MatMul(), *(_grouped(rewriter, value, tiling.groups) for value in (factors, turned)))
    shape = (tiling.transform.places, weight.type.shape[0], turned.type.shape[2])
    products = rewriter.emit(Reshape(shape), product)
    output = WinogradOutput(tiles_across=tiling.count, activation=activation, **tiling.attributes)
    fits = tiling.filled == tiling.size
    result = rewriter.emit(output, products, *bias, name=name if fits else "")
    if fits:
        return result
    (height, width), (rows, columns) = tiling.filled, tiling.size
    return rewriter.emit(Crop2d(((0, height - rows), (0, width - columns)), CHWN), result, name=name)


def _image(rewriter: Rewriter, tiling: _Tiling, image: Value) -> Value:
    """The transformed image, with zeros around it as far as the tiles go."""
    fitted = _fitted(rewriter, image, tiling.before, tiling.transform.image_size(tiling.count))
    return rewriter.emit(WinogradInput(**tiling.attributes), fitted)


def _fitted(rewriter: Rewriter, image: Value, before: Pair, size: Pair) -> Value:
    """``image`` (C, H, W, N) with ``before`` zeros above and left of it, and as many after it as make ``size``.

    Where these are negative, so many rows and columns are cut off: last, so that something is left to cut from.
    """
    margins = [(b, wanted - own - b) for b, wanted, own in zip(before, size, image.type.shape[1:3], strict=True)]
    rows, columns = ((max(0, first), max(0, last)) for first, last in margins)
    if any(rows + columns):
        image = rewriter.emit(Pad2d((rows, columns), CHWN), image)
    rows, columns = ((max(0, -first), max(0, -last)) for first, last in margins)
    if any(rows + columns):
        image = rewriter.emit(Crop2d((rows, columns), CHWN), image)
    return image


def _grouped(rewriter: Rewriter, value: Value, groups: int) -> Value:
    """(a*a, X, Y) as one matrix for each place and group."""
    places, rows, columns = value.type.shape
    return value if groups == 1 else rewriter.emit(Reshape((places * groups, rows // groups, columns)), value)


def _refuses(tile: Pair, op: ConvOp, weight: TensorType) -> str | None:
    """Why tiles of this size are not for a convolution."""
    if op.dilation != (1, 1):
        return f"needs dilation 1, and this one has dilation {op.dilation}"
    # Of the phase with the most taps.
    taps = [-(-r // s) for r, s in zip(_spatial(weight), op.stride, strict=True)]
    if max(m + r - 1 for m, r in zip(tile, taps, strict=True)) > MOST_INPUTS:
        return f"loses too many digits with kernels as large as {weight.shape[2]}x{weight.shape[3]}"
    if max(taps) == 1:
        stride = "" if op.stride == (1, 1) else f" and stride {op.stride}"
        return f"saves nothing with a {weight.shape[2]}x{weight.shape[3]} kernel{stride}"
    return None


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
