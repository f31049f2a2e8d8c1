"""Pooling blocks where they lie: structure, value, and maxout itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import assert_leaves, assert_rewrites

import convir
from convir import TensorType, zoo
from convir.ir import Builder, Graph, ShapeError
from convir.ir.ops import (
    CHWN,
    DepthToSpace,
    Maxout,
    MaxoutGrad,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    SpaceToDepth,
)
from convir.passes.pool_blocks import PoolBlocks
from convir.runtime import evaluate

PASS = PoolBlocks()
BLOCK = (2, 3)


def pooled(**attributes) -> Graph:
    builder = Builder("f")
    x, bias = builder.input("x", TensorType((12, 2, 2, 3))), builder.input("b", TensorType((2,)))
    image = builder.emit(DepthToSpace(BLOCK), x, name="d")
    op = MaxPool2dTaps(**{"kernel_size": BLOCK, "stride": BLOCK, "layout": CHWN, **attributes})
    return builder.finish([builder.emit(op, image, bias, name="y")], {})


def test_a_pooling_of_blocks():
    assert_rewrites(
        PASS,
        pooled(activation="relu"),
        """
        graph f(x: f32[12,2,2,3], b: f32[2]) -> f32[2,2,2,3]:
          y = maxout(x, b, pieces=6, activation=relu) : f32[2,2,2,3]
          return y
        """,
        rtol=0,
    )


@pytest.mark.parametrize(
    "attributes",
    [
        {"stride": (2, 2)},
        {"kernel_size": (2, 2), "stride": (2, 2)},
        {"padding": (1, 0)},
        {"kernel_size": (3, 2), "stride": (3, 2)},
    ],
    ids=str,
)
def test_other_windows_need_the_blocks_in_their_places(attributes):
    assert_leaves(PASS, pooled(**attributes))


@pytest.mark.parametrize("known", [False, True])
def test_the_gradient_of_a_pooling_of_blocks(known):
    builder = Builder("f")
    x = builder.input("x", TensorType((12, 2, 2, 3)))
    window = {"kernel_size": BLOCK, "stride": BLOCK, "layout": CHWN}
    image = builder.emit(DepthToSpace(BLOCK), x, name="d")
    largest = [builder.emit(MaxPool2dTaps(**window), image, name="m")] if known else []
    dy = builder.input("dy", TensorType((2, 2, 2, 3)))
    dx = builder.emit(MaxPool2dGradTaps(**window), dy, image, *largest, name="dx")
    graph = builder.finish([builder.emit(SpaceToDepth(BLOCK), dx, name="y")], {})
    after = PASS(graph)
    assert [node.op.name for node in after.nodes] == ["maxout"] * known + ["maxout_grad"]
    rng = np.random.default_rng(0)
    # Few different numbers: the first of equal ones takes it all.
    blocks, grad = (rng.integers(0, 3, v.type.shape).astype("float32") for v in graph.inputs)
    (plane,) = evaluate(DepthToSpace(BLOCK), [blocks])
    (expected,) = evaluate(SpaceToDepth(BLOCK), evaluate(MaxPool2dGradTaps(**window), [grad, plane]))
    maxima = evaluate(Maxout(6), [blocks]) if known else []
    np.testing.assert_array_equal(evaluate(MaxoutGrad(6), [grad, blocks, *maxima])[0], expected)


def test_other_blocks_do_not_cancel():
    builder = Builder("f")
    x = builder.emit(DepthToSpace((2, 1)), builder.input("x", TensorType((4, 2, 2, 3))))
    assert_leaves(PASS, builder.finish([builder.emit(SpaceToDepth((1, 2)), x)], {}))


@given(pieces=st.integers(1, 4), channels=st.integers(1, 3), rest=st.lists(st.integers(1, 3), max_size=3))
def test_maxout_is_the_maximum_of_neighbours(pieces, channels, rest):
    x = np.random.default_rng(0).standard_normal((channels * pieces, *rest))
    expected = x.reshape(channels, pieces, *rest).max(1)
    np.testing.assert_array_equal(evaluate(Maxout(pieces), [x])[0], expected)


def test_lenet5_pools_its_first_blocks_where_they_lie():
    compiled = convir.compile(zoo.lenet5(), (8, 1, 28, 28))
    names = [node.op.name for graph in compiled.program.graphs for node in graph.nodes]
    assert names.count("maxout") == names.count("maxout_grad") == 1


BAD = [
    (Maxout(2), [(3, 2)], r"the channels of f32\[3,2\], its first axis, are no multiple of pieces=2"),
    (Maxout(1), [()], "no multiple of pieces=1"),
    (Maxout(2), [(4, 2), (4,)], r"bias must be f32\[2\]"),
    (MaxoutGrad(2), [(4, 2), (4, 2)], r"grad must be f32\[2,2\]"),
    (MaxoutGrad(2), [(2, 2), (4, 2), (4, 2)], r"maximum must be f32\[2,2\]"),
]


@pytest.mark.parametrize(("op", "shapes", "message"), BAD)
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(*map(TensorType, shapes))


@pytest.mark.parametrize("pieces", [0, True, 1.5])
def test_attributes_out_of_range(pieces):
    with pytest.raises(ShapeError, match="pieces must be an integer of at least 1"):
        Maxout(pieces)
