"""Random valid graphs: shared operands, several outputs, outputs that are inputs, unused inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from hypothesis import strategies as st

from convir.ir import Builder, Graph, Op, TensorType, Value
from convir.ir.ops import (
    Add,
    AvgPool2d,
    BroadcastTo,
    Constant,
    Conv2d,
    Exp,
    Flatten,
    Literal,
    MatMul,
    Max,
    MaxPool2d,
    Mean,
    Mul,
    Neg,
    Pad2d,
    Relu,
    Reshape,
    Sigmoid,
    Sub,
    Sum,
    Tanh,
    Transpose,
)
from support.graphs import bind

_LARGEST = 400
_KINKED = (Relu, Max, MaxPool2d)
_IMAGES = [(1, 2, 4, 3), (2, 1, 3, 3), (2, 2, 1, 4), (1, 1, 1, 1)]


class _Draft:
    """A graph being drawn: the values so far, and how to add one."""

    def __init__(self, draw: st.DrawFn, dtype: str, smooth: bool) -> None:
        self.draw = draw
        self.dtype = dtype
        self.smooth = smooth
        self.builder = Builder("random")
        self.values: list[Value] = []

    def type(self, *shape: int) -> TensorType:
        return TensorType(shape, self.dtype)

    def pick(self, rank: int | None = None) -> Value | None:
        """One of the values, of this rank."""
        fitting = [value for value in self.values if rank in (None, value.type.rank)]
        return self.draw(st.sampled_from(fitting)) if fitting else None

    def kind(self, *kinds: type[Op]) -> type[Op]:
        """One of these ops, without a kink if the graph is to be smooth."""
        return self.draw(st.sampled_from([kind for kind in kinds if not (self.smooth and kind in _KINKED)]))

    def param(self, *shape: int) -> Value:
        return self.builder.param(f"w{len(self.builder.params)}", self.type(*shape))

    def pair(self, least: int, most: int) -> tuple[int, int]:
        return self.draw(st.tuples(st.integers(least, most), st.integers(least, most)))


def _unary(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    kind = d.kind(Relu, Sigmoid, Tanh, Neg, Exp)
    return d.builder.emit(kind(), d.builder.emit(Tanh(), value) if kind is Exp else value)


def _binary(d: _Draft) -> Value | None:
    a = d.pick()
    assert a is not None
    fitting = [b for b in d.values if b.type.shape in (a.type.shape, (), (1,) * a.type.rank, a.type.shape[1:])]
    op = d.draw(st.sampled_from([Add(), Sub(), Mul()]))
    operands = d.draw(st.permutations([a, d.draw(st.sampled_from(fitting))]))
    return d.builder.emit(op, *operands)


def _scaled(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    number = d.builder.emit(Constant(Literal(np.array(0.5, d.dtype))))
    return d.builder.emit(Mul(), value, number)


def _conv(d: _Draft) -> Value | None:
    image = d.pick(rank=4)
    if image is None:
        return None
    channels = image.type.shape[1]
    groups = d.draw(st.sampled_from([1, channels]))
    kernel = tuple(min(k, s) for k, s in zip(d.pair(1, 2), image.type.shape[2:], strict=True))
    filters = groups * d.draw(st.integers(1, 2))
    weight = d.param(filters, channels // groups, *kernel)
    bias = [d.param(filters)] if d.draw(st.booleans()) else []
    return d.builder.emit(Conv2d(d.pair(1, 2), d.pair(0, 1), groups=groups), image, weight, *bias)


def _pool(d: _Draft) -> Value | None:
    image = d.pick(rank=4)
    if image is None:
        return None
    kernel = tuple(min(k, s) for k, s in zip(d.pair(1, 2), image.type.shape[2:], strict=True))
    kind = d.kind(MaxPool2d, AvgPool2d)
    return d.builder.emit(kind(stride=d.pair(1, 2), kernel_size=kernel, ceil_mode=d.draw(st.booleans())), image)


def _pad(d: _Draft) -> Value | None:
    image = d.pick(rank=4)
    return None if image is None else d.builder.emit(Pad2d((d.pair(0, 1), d.pair(0, 1))), image)


def _matmul(d: _Draft) -> Value | None:
    a = d.pick(rank=2)
    if a is None:
        return None
    columns = d.draw(st.integers(1, 3))
    transposed = d.draw(st.booleans())
    inner = a.type.shape[1]
    weight = d.param(*((columns, inner) if transposed else (inner, columns)))
    bias = [d.param(columns)] if d.draw(st.booleans()) else []
    return d.builder.emit(MatMul(transpose_b=transposed), a, weight, *bias)


def _square(d: _Draft) -> Value | None:
    """A value times its own transpose."""
    a = d.pick(rank=2)
    return None if a is None else d.builder.emit(MatMul(transpose_b=True), a, a)


def _reduce(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    axes = d.draw(st.sets(st.integers(0, value.type.rank - 1))) if value.type.rank else set()
    kind = d.kind(Sum, Mean, Max)
    return d.builder.emit(kind(tuple(sorted(axes)), d.draw(st.booleans())), value)


def _reshape(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    if value.type.rank and d.draw(st.booleans()):
        return d.builder.emit(Flatten(min(1, value.type.rank - 1)), value)
    shape = d.draw(st.sampled_from([(value.type.size,), (1, value.type.size), (1, *value.type.shape)]))
    return d.builder.emit(Reshape(shape), value)


def _transpose(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    return d.builder.emit(Transpose(tuple(d.draw(st.permutations(range(value.type.rank))))), value)


def _broadcast(d: _Draft) -> Value | None:
    value = d.pick()
    assert value is not None
    return d.builder.emit(BroadcastTo((d.draw(st.integers(1, 2)), *value.type.shape)), value)


_MOVES: list[Callable[[_Draft], Value | None]] = [
    *(_unary, _unary, _binary, _binary, _scaled, _conv, _conv, _pool, _pad, _matmul, _square),
    *(_reduce, _reshape, _transpose, _broadcast),
]


@st.composite
def random_graphs(
    draw: st.DrawFn,
    dtype: str = "float64",
    most: int = 10,
    smooth: bool = False,
    images: Sequence[tuple[int, ...]] = _IMAGES,
) -> Graph:
    """A valid graph with bound parameters, whose first input has one of the shapes; a smooth one has a derivative."""
    draft = _Draft(draw, dtype, smooth)
    draft.values.append(draft.builder.input("x", draft.type(*draw(st.sampled_from(images)))))
    if draw(st.booleans()):
        draft.values.append(draft.builder.input("other", draft.type(2, 3)))
    if draw(st.booleans()):
        draft.values.append(draft.param(*draw(st.sampled_from([(3,), (2, 3), ()]))))
    draft.builder.input("unused", draft.type(2))
    for _ in range(draw(st.integers(1, most))):
        made = draw(st.sampled_from(_MOVES))(draft)
        if made is not None and made.type.size <= _LARGEST:
            draft.values.append(made)
    outputs = draw(st.lists(st.sampled_from(draft.values), min_size=1, max_size=3))
    return bind(draft.builder.finish([draft.values[-1], *outputs], {}))
