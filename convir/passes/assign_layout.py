"""Choosing layouts: transposes sink through what does not care, until they meet and cancel."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from convir.ir import Graph, Node, Op, Value
from convir.ir.ops import (
    CHWN,
    NCHW,
    ActivationGradOp,
    BinaryOp,
    MarginOp,
    Max,
    Mean,
    PoolOp,
    ReduceOp,
    Reshape,
    Sum,
    Transpose,
    UnaryOp,
    inverse,
    permutation,
)
from convir.passes.rewrite import Rewriter, rewrite

_TO_NCHW = permutation(CHWN, NCHW)


@dataclass(frozen=True)
class AssignLayout:
    """``f(transpose(x))  =>  transpose(f(x))`` for element-by-element, reducing and spatial ops

    ``transpose(transpose(x))  =>  x`` or one transpose; ``transpose(x)  =>  reshape(x)`` where only
    axes of length 1 move. A spatial op takes the layout of what it reads; an operand that is not in
    that layout gets an explicit transpose. What remains stands at the graph's edges, and where an op
    needs rows and columns in order (flatten).
    """

    name: str = "assign_layout"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _sink, self.name)


def _sink(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    if isinstance(node.op, Transpose):
        return _merge_transposes(rewriter, node.op, operands[0])
    if isinstance(node.op, Sum | Mean | Max):
        return _sink_through_reduction(rewriter, node, operands[0])
    order = next((order for order in (_order(rewriter, value) for value in operands) if order is not None), None)
    op = None if order is None else _before_transpose(node.op, order, operands)
    if order is None or op is None:
        return None
    result = rewriter.emit(op, *(_before(rewriter, value, order) for value in operands), name=node.name)
    return _transposed(rewriter, result, order)


def _before_transpose(op: Op, order: tuple[int, ...], operands: tuple[Value, ...]) -> Op | None:
    """``op`` as it stands before a transpose by ``order``; None where a transpose cannot sink through it."""
    if isinstance(op, BinaryOp):
        shapes = {value.type.shape for value in operands if value.type.rank}
        return op if len(shapes) == 1 else None
    if isinstance(op, ActivationGradOp | UnaryOp):
        return op
    if isinstance(op, PoolOp | MarginOp) and op.layout == NCHW and order == _TO_NCHW and _chooses_layout(op):
        return replace(op, layout=CHWN)  # type: ignore[arg-type]
    return None


def _chooses_layout(op: Op) -> bool:
    """Whether the layout is an attribute; the model's own poolings are NCHW."""
    return any(field.name == "layout" for field in fields(op))


def _order(rewriter: Rewriter, value: Value) -> tuple[int, ...] | None:
    """The permutation that ``value`` is a transpose by, if it is one."""
    producer = rewriter.producer(value)
    return producer.op.permutation if producer is not None and isinstance(producer.op, Transpose) else None


def _before(rewriter: Rewriter, value: Value, order: tuple[int, ...]) -> Value:
    """The value that ``value`` is a transpose of, made by an explicit transpose where it is not one."""
    if value.type.rank == 0:
        return value
    if _order(rewriter, value) == order:
        producer = rewriter.producer(value)
        assert producer is not None
        return producer.inputs[0]
    return _transposed(rewriter, value, inverse(order))


def _merge_transposes(rewriter: Rewriter, op: Transpose, operand: Value) -> Value | None:
    inner = _order(rewriter, operand)
    if inner is None:
        return None if _copies(op.permutation, operand) else _transposed(rewriter, operand, op.permutation)
    producer = rewriter.producer(operand)
    assert producer is not None
    return _transposed(rewriter, producer.inputs[0], tuple(inner[axis] for axis in op.permutation))


def _sink_through_reduction(rewriter: Rewriter, node: Node, operand: Value) -> Value | None:
    """Reduce over the axes where they were before the transpose; kept axes are put in order after it."""
    order = _order(rewriter, operand)
    if order is None:
        return None
    op = node.op
    assert isinstance(op, ReduceOp)
    axes = tuple(sorted(order[axis] for axis in op.axes))
    result = rewriter.emit(replace(op, axes=axes), _before(rewriter, operand, order), name=node.name)
    if op.keepdims:
        return _transposed(rewriter, result, order)
    kept = [order[axis] for axis in range(len(order)) if axis not in op.axes]
    ranks = {axis: rank for rank, axis in enumerate(sorted(kept))}
    return _transposed(rewriter, result, tuple(ranks[axis] for axis in kept))


def _transposed(rewriter: Rewriter, value: Value, order: tuple[int, ...]) -> Value:
    """``value`` transposed: for nothing, by a view, or by a copy."""
    if order == tuple(range(len(order))):
        return value
    if _copies(order, value):
        return rewriter.emit(Transpose(order), value)
    return rewriter.emit(Reshape(tuple(value.type.shape[axis] for axis in order)), value)


def _copies(order: tuple[int, ...], value: Value) -> bool:
    """Whether transposing moves elements: axes of length 1 move for nothing."""
    moving = [axis for axis in order if value.type.shape[axis] > 1]
    return moving != sorted(moving)
