"""Direct convolution, its weight gradient, and what makes its input gradient a convolution."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import Conv2dDirect, Conv2dDirectGradWeight, Dilate2d, FlipWeight
from convir.ir.ops.direct import DirectConvOp
from convir.loops.affine import Affine, Axis, axes_over, index_of, variable
from convir.loops.expr import Load, Number, Reduce, add, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated
from convir.loops.rules.maps import each


def _read(op: DirectConvOp, image: Operand, channel: Affine) -> Load:
    """What tap (k, l) of the window at (i, j) reads."""
    (down, across), (row_step, column_step) = op.stride, op.dilation
    row = variable("i") * down + variable("k") * row_step
    column = variable("j") * across + variable("l") * column_step
    return image.at(channel, row, column, "n")


def _axes(op: DirectConvOp, weight: tuple[int, ...], result: tuple[int, ...]) -> dict[str, Axis]:
    """Every axis of a convolution: group, filter of the group, channel of the group, window, tap, sample."""
    extents = (op.groups, weight[0] // op.groups, *weight[1:], *result[1:])
    return {name: Axis(name, extent) for name, extent in zip("gocklijn", extents, strict=True)}


@loops(Conv2dDirect)
def conv2d_direct(op: Conv2dDirect, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The sum over channels and taps at every output pixel."""
    image, weight, *bias = operands
    axis = _axes(op, weight.type.shape, results[0].type.shape)
    filter_ = variable("g") * axis["o"].extent + variable("o")
    channel = variable("g") * axis["c"].extent + variable("c")
    product = mul(weight.at(filter_, "c", "k", "l"), _read(op, image, channel))
    total = Reduce("add", ("c", "k", "l"), product)
    value = add(total, bias[0].at(filter_)) if bias else total
    store = results[0].store((filter_, "i", "j", "n"), activated(op.activation, value))
    return Program((Nest(tuple(axis[name] for name in "goijn"), tuple(axis[name] for name in "ckl"), (store,)),))


@loops(Conv2dDirectGradWeight)
def conv2d_direct_grad_weight(
    op: Conv2dDirectGradWeight, operands: Sequence[Operand], results: Sequence[Operand]
) -> Program:
    """The sum over windows and samples for every weight."""
    grad, image = operands
    axis = _axes(op, results[0].type.shape, grad.type.shape)
    filter_ = variable("g") * axis["o"].extent + variable("o")
    channel = variable("g") * axis["c"].extent + variable("c")
    product = mul(grad.at(filter_, "i", "j", "n"), _read(op, image, channel))
    store = results[0].store((filter_, "c", "k", "l"), Reduce("add", ("i", "j", "n"), product))
    return Program((Nest(tuple(axis[name] for name in "gockl"), tuple(axis[name] for name in "ijn"), (store,)),))


@loops(FlipWeight)
def flip_weight(op: FlipWeight, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Taps in reverse, filters and channels exchanged within each group."""
    weight, result = operands[0], results[0]
    filters, per_group, rows, columns = weight.type.shape
    axes = axes_over((op.groups, per_group, filters // op.groups, rows, columns), "gcokl")
    filter_ = variable("g") * (filters // op.groups) + variable("o")
    channel = variable("g") * per_group + variable("c")
    flipped = weight.at(filter_, "c", variable("k") * -1 + (rows - 1), variable("l") * -1 + (columns - 1))
    return Program((Nest(axes, (), (result.store((channel, "o", "k", "l"), flipped),)),))


@loops(Dilate2d)
def dilate2d(op: Dilate2d, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Zeros, then the elements between them."""
    image, result = operands[0], results[0]
    axes = axes_over(image.type.shape, "cijn")
    channel, row, column, sample = index_of(axes)
    place = (channel, row * op.stride[0], column * op.stride[1], sample)
    store = result.store(place, image.at(*index_of(axes)))
    return Program((each(result, lambda *index: Number(0.0)), Nest(axes, (), (store,))))
