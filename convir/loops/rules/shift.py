"""Shifted products and their weight gradient, where the image is its only component."""

from __future__ import annotations

from collections.abc import Sequence

from convir.ir.ops import ShiftedMatMul, ShiftedMatMulGradWeight, ShiftOp
from convir.loops.affine import Affine, Axis, variable
from convir.loops.expr import Load, Reduce, add, mul
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated


def _axes(op: ShiftOp, weight: Sequence[int], result: Sequence[int]) -> dict[str, Axis]:
    """Tap, group, filter of the group, channel of the group, window, sample."""
    rows, columns, filters, channels = weight
    extents = (rows, columns, op.groups, filters // op.groups, channels, *result[1:])
    return {name: Axis(name, extent) for name, extent in zip("klgocijn", extents, strict=True)}


def _member(axes: dict[str, Axis], name: str) -> Affine:
    """The filter or channel among those of all groups."""
    return variable("g") * axes[name].extent + variable(name)


def _read(op: ShiftOp, image: Operand, channel: Affine) -> Load:
    """What tap (k, l) of the window at (i, j) reads."""
    row = variable("i") + variable("k") * op.dilation[0]
    column = variable("j") + variable("l") * op.dilation[1]
    return image.at(channel, row, column, "n")


@loops(ShiftedMatMul)
def shifted_matmul(op: ShiftedMatMul, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The sum over channels and taps at every output pixel, without blocks."""
    image, weight, *bias = operands
    if op.stride != (1, 1):
        return None
    axes = _axes(op, weight.type.shape, results[0].type.shape)
    filter_, channel = _member(axes, "o"), _member(axes, "c")
    total = Reduce("add", ("k", "l", "c"), mul(weight.at("k", "l", filter_, "c"), _read(op, image, channel)))
    value = add(total, bias[0].at(filter_)) if bias else total
    store = results[0].store((filter_, "i", "j", "n"), activated(op.activation, value))
    return Program((Nest(tuple(axes[name] for name in "goijn"), tuple(axes[name] for name in "klc"), (store,)),))


@loops(ShiftedMatMulGradWeight)
def shifted_matmul_grad_weight(
    op: ShiftedMatMulGradWeight, operands: Sequence[Operand], results: Sequence[Operand]
) -> Program | None:
    """The sum over windows and samples for every weight."""
    grad, image = operands
    if op.stride != (1, 1):
        return None
    axes = _axes(op, results[0].type.shape, grad.type.shape)
    filter_, channel = _member(axes, "o"), _member(axes, "c")
    product = mul(grad.at(filter_, "i", "j", "n"), _read(op, image, channel))
    store = results[0].store(("k", "l", filter_, "c"), Reduce("add", ("i", "j", "n"), product))
    return Program((Nest(tuple(axes[name] for name in "klgoc"), tuple(axes[name] for name in "ijn"), (store,)),))
