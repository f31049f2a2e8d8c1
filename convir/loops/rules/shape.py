"""Ops that move elements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convir.ir.ops import BroadcastTo, Crop2d, MarginOp, Pad2d, Slice2d, Slice2dGrad, Transpose, spatial_axes
from convir.loops.affine import Affine, Axis, index_of, variable
from convir.loops.expr import Number
from convir.loops.nest import Nest, Program
from convir.loops.registry import Operand, Place, loops
from convir.loops.rules.maps import each, mapped, result_axes


@loops(Transpose)
def transpose(op: Transpose, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Written in the result's order."""

    def value(*index: Affine):  # type: ignore[no-untyped-def]
        places: list[Place] = [0] * len(index)
        for place, axis in zip(index, op.permutation, strict=True):
            places[axis] = place
        return operands[0].at(*places)

    return mapped(results[0], value)


@loops(BroadcastTo)
def broadcast_to(op: BroadcastTo, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The operand's element, again and again."""
    return mapped(results[0], lambda *index: operands[0].broadcast(*index))


@loops(Pad2d)
def pad2d(op: Pad2d, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """The margins, then what lies between them."""
    result, axes = results[0], result_axes(operands[0].type.shape)
    inner = Nest(axes, (), (result.store(_shifted(op, axes), operands[0].at(*index_of(axes))),))
    return Program((*_margins(op, result), inner))


@loops(Crop2d)
def crop2d(op: Crop2d, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """What lies between the margins."""
    axes = result_axes(results[0].type.shape)
    store = results[0].store(index_of(axes), operands[0].at(*_shifted(op, axes)))
    return Program((Nest(axes, (), (store,)),))


@loops(Slice2d)
def slice2d(op: Slice2d, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Every S-th row and column."""
    down, across = op.stride
    return mapped(results[0], lambda c, h, w, n: operands[0].at(c, h * down, w * across, n))


@loops(Slice2dGrad)
def slice2d_grad(op: Slice2dGrad, operands: Sequence[Operand], results: Sequence[Operand]) -> Program:
    """Zeros, then the elements between them."""
    axes = result_axes(operands[0].type.shape)
    channel, row, column, sample = index_of(axes)
    place = (channel, row * op.stride[0], column * op.stride[1], sample)
    store = results[0].store(place, operands[0].at(*index_of(axes)))
    return Program((each(results[0], lambda *index: Number(0.0)), Nest(axes, (), (store,))))


def _shifted(op: MarginOp, axes: Sequence[Axis]) -> list[Affine]:
    """Where the element between the margins lies in what has margins."""
    shifts = dict(zip(spatial_axes(op.layout), (before for before, _ in op.margins), strict=True))
    return [variable(axis.name) + shifts.get(place, 0) for place, axis in enumerate(axes)]


def _margins(op: Pad2d, result: Operand) -> Iterator[Nest]:
    """Nests that fill the four margins, without the empty ones; the corners belong to the rows."""
    shape = result.type.shape
    rows, columns = spatial_axes(op.layout)
    (top, bottom), (left, right) = op.margins
    height, width = shape[rows], shape[columns]
    boxes = [(0, top, 0, width), (height - bottom, bottom, 0, width)]
    boxes += [(top, height - top - bottom, 0, left), (top, height - top - bottom, width - right, right)]
    for row, row_count, column, column_count in boxes:
        if row_count and column_count:
            axes = list(result_axes(shape))
            axes[rows] = Axis(axes[rows].name, row_count)
            axes[columns] = Axis(axes[columns].name, column_count)
            index: list[Affine] = list(index_of(axes))
            index[rows], index[columns] = index[rows] + row, index[columns] + column
            yield Nest(tuple(axes), (), (result.store(index, Number(op.value)),))
