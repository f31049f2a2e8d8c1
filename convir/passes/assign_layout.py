"""Choosing layouts: transposes sink through what does not care, until they meet and cancel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from convir.ir import Graph, Node, Op, Value
from convir.ir.ops import (
    CHWN,
    NCHW,
    ActivationGradOp,
    BinaryOp,
    CrossEntropy,
    CrossEntropyGrad,
    DropoutMask,
    Flatten,
    MarginOp,
    MatMul,
    Max,
    MaxGrad,
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
from convir.passes.transposition import (
    SWAP,
    Axes,
    aligned,
    before,
    moves,
    order_of,
    permuted,
    reshape_blocks,
    reshaped,
    transposed,
)

_TO_NCHW = permutation(CHWN, NCHW)


@dataclass(frozen=True)
class AssignLayout:
    """``f(transpose(x))  =>  transpose(f(x))`` for element-by-element, reducing and spatial ops, losses and reshapes

    ``matmul(transpose(x), w) + b  =>  transpose(matmul(w, x, transpose_a=True) + column b)``: the batch, innermost
    behind a convolution, stays innermost through linear layers. ``transpose(transpose(x))  =>  x`` or one
    transpose; ``transpose(x)  =>  reshape(x)`` where only axes of length 1 move.

    A spatial op takes the layout of what it reads; an operand that is not in that layout gets an explicit transpose.
    What remains stands at the graph's edges, where a product sums over the batch (weight gradients: BLAS takes that
    transpose as a flag, see ``absorb_transposes``), and where a reshape mixes axes.
    """

    name: str = "assign_layout"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _sink, self.name)


#: ``rule(rewriter, node, operands)``, as for :func:`rewrite`.
_Rule = Callable[[Rewriter, Node, tuple[Value, ...]], Value | None]


def _sink(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    rule = next((rule for ops, rule in _RULES.items() if isinstance(node.op, ops)), None)
    return None if rule is None else rule(rewriter, node, operands)


def _merge_transposes(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    (operand,), op = operands, node.op
    assert isinstance(op, Transpose)
    inner = order_of(rewriter, operand)
    if inner is None:
        return None if moves(op.permutation, operand.type.shape) else transposed(rewriter, operand, op.permutation)
    return transposed(rewriter, before(rewriter, operand, inner), permuted(inner, op.permutation))


def _through_pointwise(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """Operands of the result's shape are transposed; those that broadcast to it must be views before as after."""
    shape = node.outputs[0].type.shape
    order = _first_order(rewriter, [value for value in operands if value.type.shape == shape])
    if order is None:
        return None
    sources = [_before_broadcasting(rewriter, value, order, shape) for value in operands]
    if not all(sources):
        return None
    result = rewriter.emit(node.op, *(source for source in sources if source), name=node.name)
    return transposed(rewriter, result, order)


def _before_broadcasting(rewriter: Rewriter, value: Value, order: Axes, shape: Axes) -> Value | None:
    """``value`` as it broadcasts before a transpose by ``order``; None where that would move its elements."""
    if value.type.shape == shape or order_of(rewriter, value) == order:
        return before(rewriter, value, order)
    if value.type.rank == 0:
        return value
    small, back = aligned(value.type.shape, len(order)), inverse(order)
    return None if moves(back, small) else reshaped(rewriter, value, permuted(small, back))


def _through_spatial(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """Pooling, padding and cropping have a layout to choose, except in the model's own graph."""
    op = node.op
    images = [value for value in operands if value.type.rank == len(NCHW)]  # all but a pooling's bias
    assert isinstance(op, PoolOp | MarginOp)
    if not _chooses_layout(op) or op.layout != NCHW or _first_order(rewriter, images) != _TO_NCHW:
        return None
    sources = [before(rewriter, value, _TO_NCHW) if value in images else value for value in operands]
    result = rewriter.emit(replace(op, layout=CHWN), *sources, name=node.name)  # type: ignore[arg-type]
    return transposed(rewriter, result, _TO_NCHW)


def _chooses_layout(op: Op) -> bool:
    """Whether the layout is an attribute; the model's own poolings are NCHW."""
    return any(field.name == "layout" for field in fields(op))


def _first_order(rewriter: Rewriter, values: Sequence[Value]) -> Axes | None:
    """The permutation of the first transpose among ``values``."""
    return next((order for order in (order_of(rewriter, value) for value in values) if order is not None), None)


def _through_reduction(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """Reduce over the axes where they were before the transpose; kept axes are put in order after it."""
    (operand,), op = operands, node.op
    order = order_of(rewriter, operand)
    if order is None:
        return None
    assert isinstance(op, ReduceOp)
    result = rewriter.emit(_reduction_before(op, order), before(rewriter, operand, order), name=node.name)
    return transposed(rewriter, result, _reduced_order(op, order))


def _through_max_grad(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    grad, value, result = operands
    order, op = order_of(rewriter, value), node.op
    if order is None:
        return None
    assert isinstance(op, MaxGrad)
    kept = _reduced_order(op, order)
    sources = before(rewriter, grad, kept), before(rewriter, value, order), before(rewriter, result, kept)
    return transposed(rewriter, rewriter.emit(_reduction_before(op, order), *sources, name=node.name), order)


def _reduction_before(op: ReduceOp, order: Axes) -> ReduceOp:
    return replace(op, axes=tuple(sorted(order[axis] for axis in op.axes)))


def _reduced_order(op: ReduceOp, order: Axes) -> Axes:
    """What is left of a transpose by ``order`` when its result is reduced."""
    if op.keepdims:
        return order
    kept = [order[axis] for axis in range(len(order)) if axis not in op.axes]
    return tuple(sorted(kept).index(axis) for axis in kept)


def _through_product(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``matmul(transpose(x), w) + b => transpose(matmul(w, x) + b)``, unless the product sums over x's last axis."""
    op, (a, b, *bias) = node.op, operands
    assert isinstance(op, MatMul)
    if op.transpose_a or order_of(rewriter, a) != SWAP or b.type.rank != 2:
        return None
    turned = replace(op, transpose_a=not op.transpose_b, transpose_b=False)
    columns = [_before_broadcasting(rewriter, vector, SWAP, node.outputs[0].type.shape) for vector in bias]
    if not all(columns):
        return None
    addends = (column for column in columns if column)
    return transposed(rewriter, rewriter.emit(turned, b, before(rewriter, a, SWAP), *addends, name=node.name), SWAP)


def _through_reshape(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """``reshape(transpose(x)) => transpose(reshape(x))`` where what is merged lies side by side in x."""
    (operand,) = operands
    order = order_of(rewriter, operand)
    if order is None:
        return None
    source, shape = before(rewriter, operand, order), node.outputs[0].type.shape
    long = [axis for axis, size in enumerate(source.type.shape) if size > 1]
    blocks = reshape_blocks(operand.type.shape, shape)
    places = [[long.index(order[axis]) for axis in old if order[axis] in long] for old, _ in blocks]
    if any(place != list(range(place[0], place[0] + len(place))) for place in places if place):
        return None
    moved = [axis for index in sorted(range(len(blocks)), key=lambda i: places[i]) for axis in blocks[index][1]]
    view = rewriter.emit(Reshape(permuted(shape, tuple(moved))), source, name=node.name)
    return transposed(rewriter, view, inverse(tuple(moved)))


def _through_loss(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """Logits that are a transpose have their classes on the other axis."""
    op = node.op
    assert isinstance(op, CrossEntropy | CrossEntropyGrad)
    if _first_order(rewriter, [value for value in operands if value.type.rank == 2]) is None:
        return None
    sources = [before(rewriter, value, SWAP) if value.type.rank == 2 else value for value in operands]
    result = rewriter.emit(replace(op, class_axis=1 - op.class_axis), *sources, name=node.name)
    return transposed(rewriter, result, SWAP) if result.type.rank == 2 else result


def _without_copy(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Value | None:
    """A dropout mask takes its operand's type only, which a view has too; the mask is drawn in the model's layout."""
    order = order_of(rewriter, operands[0])
    if order is None:
        return None
    view = reshaped(rewriter, before(rewriter, operands[0], order), operands[0].type.shape)
    return rewriter.emit(node.op, view, name=node.name)


_RULES: Mapping[tuple[type[Op], ...], _Rule] = {
    (Transpose,): _merge_transposes,
    (BinaryOp, UnaryOp, ActivationGradOp): _through_pointwise,
    (PoolOp, MarginOp): _through_spatial,
    (Sum, Mean, Max): _through_reduction,
    (MaxGrad,): _through_max_grad,
    (MatMul,): _through_product,
    (Reshape, Flatten): _through_reshape,
    (CrossEntropy, CrossEntropyGrad): _through_loss,
    (DropoutMask,): _without_copy,
}
