"""Transposes at matrix products disappear; what is computed stays the same."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from support.graphs import assert_close, assert_leaves, assert_rewrites, random_values, results

import convir
from convir import TensorType, zoo
from convir.ir import Builder, Graph, verify
from convir.ir.ops import CHWN, NCHW, MatMul, Relu, Reshape, Transpose, permutation
from convir.passes.absorb_transposes import AbsorbTransposes

ABSORB = AbsorbTransposes()
TO_CHWN = Transpose(permutation(NCHW, CHWN))
SWAP = Transpose((1, 0))


def check(graph: Graph) -> list[str]:
    """The pass keeps the graph valid and its results; returns the ops after it."""
    after = ABSORB(graph)
    verify(after)
    values = random_values(graph)
    assert_close(results(after, values), results(graph, values), 1e-5)
    return [node.op.name for node in after.nodes]


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


@pytest.mark.parametrize("shape", [(2, 3, 20), (4, 30), (2, 60)], ids=str)
def test_a_reshape_that_does_not_split_rows_from_columns_stays(shape):
    builder = Builder("f")
    y = builder.emit(MatMul(), builder.input("a", TensorType((2, 7))), builder.input("b", TensorType((7, 60))))
    order = (1, 0) if len(shape) == 2 else (0, 2, 1)
    reshaped = builder.emit(Reshape(shape), y)
    outputs = [builder.emit(Transpose(order), reshaped), *([reshaped] if shape == (2, 60) else [])]
    assert_leaves(ABSORB, builder.finish(outputs, {}))


def test_work_stays_with_the_node_it_is_for():
    cost = convir.compile(zoo.lenet5(), (4, 1, 28, 28), conv="im2col").cost
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
