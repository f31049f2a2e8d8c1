"""Transposes between spatial ops and matrix products disappear; what is computed stays the same."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import assert_close, assert_leaves, assert_rewrites, random_values, results

import convir
from convir import TensorType, zoo
from convir.ir import Builder, Graph, verify
from convir.ir.ops import CHWN, NCHW, Flatten, MatMul, Relu, Reshape, Transpose, permutation
from convir.passes.absorb_transposes import AbsorbTransposes

ABSORB = AbsorbTransposes()
TO_NCHW, TO_CHWN = Transpose(permutation(CHWN, NCHW)), Transpose(permutation(NCHW, CHWN))
SWAP = Transpose((1, 0))


def check(graph: Graph) -> list[str]:
    """The pass keeps the graph valid and its results; returns the ops after it."""
    after = ABSORB(graph)
    verify(after)
    values = random_values(graph)
    assert_close(results(after, values), results(graph, values), 1e-5)
    return [node.op.name for node in after.nodes]


def test_flatten_reads_chwn_as_it_lies():
    builder = Builder("f")
    image, weight = builder.input("x", TensorType((3, 4, 5, 2))), builder.param("w", TensorType((7, 60)))
    flat = builder.emit(Flatten(), builder.emit(TO_NCHW, image), name="flat")
    assert_rewrites(
        ABSORB,
        builder.finish([builder.emit(MatMul(transpose_b=True), flat, weight, name="y")], {}),
        """
        graph f(x: f32[3,4,5,2]) -> f32[2,7]:
          flat.reshape = reshape(x, shape=(60, 2)) : f32[60,2]
          y = matmul(flat.reshape, w, transpose_a=True, transpose_b=True) : f32[2,7]
          return y
        """,
    )


def test_the_gradient_of_flatten_is_made_in_chwn():
    builder = Builder("f")
    grad, weight = builder.input("g", TensorType((2, 7))), builder.param("w", TensorType((7, 60)))
    image = builder.emit(Reshape((2, 3, 4, 5)), builder.emit(MatMul(), grad, weight))
    assert_rewrites(
        ABSORB,
        builder.finish([builder.emit(TO_CHWN, image, name="y")], {}),
        """
        graph f(g: f32[2,7]) -> f32[3,4,5,2]:
          matmul = matmul(w, g, transpose_a=True, transpose_b=True) : f32[60,2]
          reshape = reshape(matmul, shape=(3, 4, 5, 2)) : f32[3,4,5,2]
          return reshape
        """,
    )


@pytest.mark.parametrize(("flags", "slots"), list(product(product((False, True), repeat=2), ((0,), (1,), (0, 1)))))
def test_a_product_takes_transposed_operands_as_flags(flags, slots):
    builder = Builder("f")
    rows, inner, columns = 2, 3, 4
    shapes = [(inner, rows) if flags[0] else (rows, inner), (columns, inner) if flags[1] else (inner, columns)]
    operands = [
        builder.emit(SWAP, builder.input(f"x{slot}", TensorType(shape[::-1])))
        if slot in slots
        else builder.input(f"x{slot}", TensorType(shape))
        for slot, shape in enumerate(shapes)
    ]
    bias = builder.input("bias", TensorType((rows, 1)))
    y = builder.emit(MatMul(*flags, activation="relu"), *operands, bias)
    assert check(builder.finish([y], {})) == ["matmul"]


@pytest.mark.parametrize("flags", list(product((False, True), repeat=2)))
def test_the_transpose_of_a_product_is_the_product_turned_round(flags):
    builder = Builder("f")
    a = builder.input("a", TensorType((3, 2) if flags[0] else (2, 3)))
    b = builder.input("b", TensorType((4, 3) if flags[1] else (3, 4)))
    y = builder.emit(SWAP, builder.emit(MatMul(*flags, activation="tanh"), a, b))
    assert check(builder.finish([y], {})) == ["matmul"]


@pytest.mark.parametrize("bias", [False, True])
def test_a_product_that_others_read_or_with_a_bias_stays(bias):
    builder = Builder("f")
    operands = [builder.input("a", TensorType((2, 3))), builder.input("b", TensorType((3, 4)))]
    operands += [builder.input("bias", TensorType((4,)))] if bias else []
    y = builder.emit(MatMul(), *operands)
    outputs = [builder.emit(SWAP, y)] if bias else [builder.emit(SWAP, y), builder.emit(Relu(), y)]
    assert_leaves(ABSORB, builder.finish(outputs, {}))


def test_a_reshape_that_mixes_axes_stays():
    builder = Builder("f")
    t = builder.emit(TO_NCHW, builder.input("x", TensorType((3, 4, 5, 2))))
    assert_leaves(ABSORB, builder.finish([builder.emit(Reshape((6, 20)), t)], {}))


def test_axes_that_do_not_lie_side_by_side_stay():
    builder = Builder("f")
    t = builder.emit(Transpose((0, 2, 1)), builder.input("x", TensorType((2, 3, 4))))
    assert_leaves(ABSORB, builder.finish([builder.emit(Reshape((2, 12)), t)], {}))


@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=4).flatmap(
        lambda shape: st.tuples(st.just(tuple(shape)), st.sampled_from(list(permutations(range(len(shape))))))
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_any_merge_of_any_transpose_keeps_its_values(transposed, cuts):
    shape, order = transposed
    moved = [shape[axis] for axis in order]
    merged = [moved[0]]
    for size, cut in zip(moved[1:], cuts, strict=False):
        merged[-1:] = [merged[-1], size] if cut else [merged[-1] * size]
    builder = Builder("f")
    t = builder.emit(Transpose(order), builder.input("x", TensorType(shape)))
    check(builder.finish([builder.emit(Reshape(tuple(merged)), t)], {}))


def test_lenet5_copies_no_activation_but_its_input():
    compiled = convir.compile(zoo.lenet5(), (4, 1, 28, 28), wrt=())
    assert [node.name for node in compiled.graph.nodes if node.op.name == "transpose"] == ["conv1.transpose"]


def test_work_stays_with_the_node_it_is_for():
    cost = convir.compile(zoo.lenet5(), (4, 1, 28, 28)).cost
    for row in cost.rows:
        assert row.lowered.flops == (3 * row.flops), row.name


def test_a_convolutional_net_gives_the_same_gradients_as_the_loops():
    model = zoo.lenet5()
    x = np.random.default_rng(0).standard_normal((2, 1, 28, 28)).astype("float32")
    fast, slow = (convir.compile(model, x.shape, conv=conv) for conv in ("im2col", "naive"))
    cotangent = np.ones_like(fast(x))
    slow(x)
    expected = slow.backward(cotangent)
    assert_close(list(fast.backward(cotangent).values()), list(expected.values()), 1e-5)
