"""Depthwise convolution, every tap written out, and its weight gradient."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from convir.ir.ops import DepthwiseConv2d, DepthwiseConv2dGradWeight
from convir.loops.affine import Affine, Axis, variable
from convir.loops.expr import Expr, Reduce, add, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated

#: Taps that are written out at most.
MOST_TAPS = 25


def _axes(image: Operand, result: Sequence[int]) -> tuple[dict[str, Axis], Affine]:
    """Channel, filter of the channel, window, sample; and the filter among all."""
    multiplier = result[0] // image.type.shape[0]
    extents = (image.type.shape[0], multiplier, *result[1:])
    axes = {name: Axis(name, extent) for name, extent in zip("cmijn", extents, strict=True)}
    return axes, variable("c") * multiplier + variable("m")


@loops(DepthwiseConv2d)
def depthwise_conv2d(op: DepthwiseConv2d, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The sum over the taps at every output pixel; components are no affine function of the tap, so one by one."""
    image, weight, *bias = operands
    rows, columns = weight.type.shape[2:]
    if rows * columns > MOST_TAPS:
        return None
    axes, filter_ = _axes(image, results[0].type.shape)
    size = op.component_size(image.type)
    products: list[Expr] = [
        mul(
            weight.at(filter_, 0, tap.k, tap.l), image.at("c", variable("i") + tap.row, variable("j") + tap.column, "n")
        )
        for tap in op.taps((rows, columns), size[0])
    ]
    total = reduce(add, products)
    value = add(total, bias[0].at(filter_)) if bias else total
    store = results[0].store((filter_, "i", "j", "n"), activated(op.activation, value))
    return Program((Nest(tuple(axes.values()), (), (store,)),))


@loops(DepthwiseConv2dGradWeight)
def depthwise_conv2d_grad_weight(
    op: DepthwiseConv2dGradWeight, operands: Sequence[Operand], results: Sequence[Operand]
) -> Program | None:
    """The sum over windows and samples for every weight, where the image is its only component."""
    grad, image = operands
    if op.stride != (1, 1):
        return None
    axes, filter_ = _axes(image, grad.type.shape)
    rows, columns = (Axis(name, extent) for name, extent in zip("kl", op.kernel_size, strict=True))
    row = variable("i") + variable("k") * op.dilation[0]
    column = variable("j") + variable("l") * op.dilation[1]
    product = mul(grad.at(filter_, "i", "j", "n"), image.at("c", row, column, "n"))
    store = results[0].store((filter_, 0, "k", "l"), Reduce("add", ("i", "j", "n"), product))
    return Program((Nest((axes["c"], axes["m"], rows, columns), (axes["i"], axes["j"], axes["n"]), (store,)),))
