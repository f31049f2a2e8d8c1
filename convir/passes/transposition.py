"""What passes that move transposes share: which values are transposes, and making them at the least cost."""

from __future__ import annotations

from collections.abc import Iterator

from convir.ir import Value
from convir.ir.ops import BroadcastTo, Reshape, Transpose, inverse
from convir.ir.types import Shape
from convir.passes.rewrite import Rewriter

#: Axes of a tensor, in order.
Axes = tuple[int, ...]

#: The permutation of a matrix transpose.
SWAP = (1, 0)


def order_of(rewriter: Rewriter, value: Value) -> Axes | None:
    """The permutation that ``value`` is a transpose by, if it is one."""
    producer = rewriter.producer(value)
    return producer.op.permutation if producer is not None and isinstance(producer.op, Transpose) else None


def before(rewriter: Rewriter, value: Value, order: Axes) -> Value:
    """The value that ``value`` is a transpose of, made by an explicit transpose where it is not one."""
    if order_of(rewriter, value) == order:
        producer = rewriter.producer(value)
        assert producer is not None
        return producer.inputs[0]
    return transposed(rewriter, value, inverse(order))


def transposed(rewriter: Rewriter, value: Value, order: Axes) -> Value:
    """``value`` transposed: for nothing, by a view, by repeating in another order, or by a copy."""
    if order == tuple(range(len(order))):
        return value
    shape = permuted(value.type.shape, order)
    if not moves(order, value.type.shape):
        return reshaped(rewriter, value, shape)
    producer = rewriter.producer(value)
    if producer is not None and isinstance(producer.op, BroadcastTo):
        small = aligned(producer.inputs[0].type.shape, len(order))
        if not moves(order, small):
            return rewriter.emit(BroadcastTo(shape), reshaped(rewriter, producer.inputs[0], permuted(small, order)))
    return rewriter.emit(Transpose(order), value)


def reshaped(rewriter: Rewriter, value: Value, shape: Shape) -> Value:
    """A view of ``value``; ``value`` itself, or what it is a view of, if that has this shape."""
    producer = rewriter.producer(value)
    viewed = producer.inputs if producer is not None and isinstance(producer.op, Reshape) else ()
    same = next((known for known in (value, *viewed) if known.type.shape == shape), None)
    return same or rewriter.emit(Reshape(shape), value)


def moves(order: Axes, shape: Shape) -> bool:
    """Whether transposing moves elements: axes of length 1 move for nothing."""
    moving = [axis for axis in order if shape[axis] > 1]
    return moving != sorted(moving)


def aligned(shape: Shape, rank: int) -> Shape:
    """``shape`` as it broadcasts to ``rank`` dimensions."""
    return (*(1,) * (rank - len(shape)), *shape)


def permuted(items: Shape, order: Axes) -> Shape:
    """The items in the order of a transpose."""
    return tuple(items[axis] for axis in order)


def reshape_blocks(old: Shape, new: Shape) -> list[tuple[Axes, Axes]]:
    """Runs of neighbouring axes of ``old`` with the runs of ``new`` that a reshape makes of them, each minimal.

    Leading and trailing runs can be empty where the other holds axes of length 1 only.
    """
    return list(_blocks(old, new))


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[Axes, Axes]]:
    i = j = 0
    while i < len(old) or j < len(new):
        first_i, first_j, here, there = i, j, 1, 1
        while i == first_i or j == first_j or here != there:
            if j == len(new) or (i < len(old) and here <= there):
                here, i = here * old[i], i + 1
            else:
                there, j = there * new[j], j + 1
            if i == len(old) and j == len(new):
                break
        yield tuple(range(first_i, i)), tuple(range(first_j, j))
