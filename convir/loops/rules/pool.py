"""Pooling in the lowered form, for windows that lie inside the image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

from convir.ir.ops import (
    AvgPool2dTaps,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    PoolOp,
    extent,
    spatial_axes,
    spatial_size,
)
from convir.loops.affine import Affine, Axis, index_of, variable
from convir.loops.expr import Expr, Load, Number, Reduce, add, mul, where_equal
from convir.loops.nest import Nest, Program, Store
from convir.loops.registry import Operand, loops
from convir.loops.rules.activation import activated
from convir.loops.rules.maps import result_axes

#: Taps of a window whose gradient is loops, at most: each tap asks all before it, so the source grows with the square.
MOST_TAPS = 16


def _inside(op: PoolOp) -> bool:
    """Whether no window reaches into padding or over the edge."""
    return op.padding == (0, 0) and not op.ceil_mode


def _taps(op: PoolOp) -> tuple[Axis, Axis]:
    return Axis("k", op.kernel_size[0]), Axis("l", op.kernel_size[1])


def _tap(op: PoolOp, image: Operand, index: Sequence[Affine], tap: Sequence[Affine | int]) -> Load:
    """What a kernel tap of the window at ``index`` reads."""
    places = list(index)
    for axis, place in enumerate(spatial_axes(op.layout)):
        step = tap[axis]
        places[place] = places[place] * op.stride[axis] + (step * op.dilation[axis])
    return image.at(*places)


@loops(MaxPool2dTaps)
def max_pool(op: MaxPool2dTaps, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The maximum over the taps, then bias and activation."""
    image, *bias = operands
    if not _inside(op):
        return None
    axes = result_axes(results[0].type.shape)
    index = index_of(axes)
    value: Expr = Reduce("maximum", ("k", "l"), _tap(op, image, index, (variable("k"), variable("l"))))
    value = add(value, bias[0].at(index[op.layout.index("C")])) if bias else value
    store = results[0].store(index, activated(op.activation, value))
    return Program((Nest(axes, _taps(op), (store,)),))


@loops(AvgPool2dTaps)
def avg_pool(op: AvgPool2dTaps, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """The sum over the taps, divided."""
    if not _inside(op):
        return None
    axes = result_axes(results[0].type.shape)
    index = index_of(axes)
    total = Reduce("add", ("k", "l"), _tap(op, operands[0], index, (variable("k"), variable("l"))))
    divisor = op.divisor(spatial_size(operands[0].type, op.layout), 0, 0)
    store = results[0].store(index, mul(total, Number(1 / divisor)))
    return Program((Nest(axes, _taps(op), (store,)),))


@loops(MaxPool2dGradTaps)
def max_pool_grad(op: MaxPool2dGradTaps, operands: Sequence[Operand], results: Sequence[Operand]) -> Program | None:
    """Windows that do not overlap: every tap gets the cotangent if it is the first maximum, else 0."""
    grad, image, *result = operands
    dx = results[0]
    if not _inside(op) or any(op.stride[a] < extent(op.kernel_size[a], op.dilation[a]) for a in (0, 1)):
        return None
    if prod(op.kernel_size) > MOST_TAPS:
        return None
    axes = result_axes(grad.type.shape)
    index = index_of(axes)
    top: Expr = Reduce("maximum", ("k", "l"), _tap(op, image, index, (variable("k"), variable("l"))))
    top = result[0].at(*index) if result else top
    left: Expr = grad.at(*index)
    stores = []
    for tap in product(*map(range, op.kernel_size)):
        x = _tap(op, image, index, tap)
        stores.append(Store(dx.name, x.offset, where_equal(x, top, left, Number(0.0))))
        left = where_equal(x, top, Number(0.0), left)
    nest = Nest(axes, () if result else _taps(op), tuple(stores))
    covered = nest.points * len(stores) == dx.type.size
    return Program((nest,) if covered else (_cleared(dx), nest))


def _cleared(result: Operand) -> Nest:
    axes = result_axes(result.type.shape)
    return Nest(axes, (), (result.store(index_of(axes), Number(0.0)),))
