"""Fusing activations and biases into convolutions and matrix products."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import assert_leaves, assert_rewrites

from convir import TensorType
from convir.ir import Builder
from convir.ir.ops import Add, Constant, Conv2d, Literal, MatMul, MaxPool2d, Relu, Sigmoid, Tanh
from convir.passes.fuse_relu import FuseRelu

FUSE = FuseRelu()


def conv(bias: bool = True):
    """A builder after a convolution, and its result."""
    builder = Builder("f")
    x = builder.input("x", TensorType((2, 2, 4, 4)))
    operands = [x, builder.param("w", TensorType((3, 2, 3, 3)))]
    operands += [builder.param("b", TensorType((3,)))] if bias else []
    return builder, builder.emit(Conv2d(), *operands, name="conv")


def linear(bias: bool = False):
    builder = Builder("f")
    x = builder.input("x", TensorType((2, 4)))
    operands = [x, builder.param("w", TensorType((4, 3)))]
    operands += [builder.param("b", TensorType((3,)))] if bias else []
    return builder, builder.emit(MatMul(), *operands, name="fc")


@pytest.mark.parametrize(("name", "op"), [("relu", Relu()), ("sigmoid", Sigmoid()), ("tanh", Tanh())])
def test_an_activation_goes_into_the_convolution(name, op):
    builder, y = conv()
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(op, y)], {}),
        f"""
        graph f(x: f32[2,2,4,4]) -> f32[2,3,2,2]:
          conv = conv2d(x, w, b, stride=(1, 1), padding=(0, 0), activation={name}) : f32[2,3,2,2]
          return conv
        """,
    )


def test_an_activation_goes_into_the_matrix_product():
    builder, y = linear(bias=True)
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(Tanh(), y)], {}),
        """
        graph f(x: f32[2,4]) -> f32[2,3]:
          fc = matmul(x, w, b, activation=tanh) : f32[2,3]
          return fc
        """,
    )


@pytest.mark.parametrize(("name", "op"), [("relu", Relu()), ("sigmoid", Sigmoid()), ("tanh", Tanh())])
def test_an_activation_goes_into_the_pooling(name, op):
    builder = Builder("f")
    y = builder.emit(MaxPool2d(kernel_size=(2, 2)), builder.input("x", TensorType((1, 2, 3, 3))), name="pool")
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(op, y)], {}),
        f"""
        graph f(x: f32[1,2,3,3]) -> f32[1,2,2,2]:
          pool = max_pool2d(x, stride=(1, 1), padding=(0, 0), kernel_size=(2, 2), activation={name}) : f32[1,2,2,2]
          return pool
        """,
    )


def test_an_addend_stays_behind_the_pooling():
    """With it inside, a gradient would have to find the maxima again."""
    builder = Builder("f")
    y = builder.emit(MaxPool2d(kernel_size=(2, 2)), builder.input("x", TensorType((1, 2, 3, 3))))
    assert_leaves(FUSE, builder.finish([builder.emit(Add(), y, builder.param("c", TensorType((2, 1, 1))))], {}))


@pytest.mark.parametrize("bias_first", [False, True])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 3), (2, 1), ()])
def test_an_addend_becomes_the_bias_of_the_matrix_product(shape, bias_first):
    builder, y = linear()
    operands = [y, builder.param("c", TensorType(shape))]
    total = builder.emit(Add(), *(operands[::-1] if bias_first else operands))
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(Relu(), total)], {}),
        """
        graph f(x: f32[2,4]) -> f32[2,3]:
          fc = matmul(x, w, c, activation=relu) : f32[2,3]
          return fc
        """,
    )


@pytest.mark.parametrize("shape", [(3, 1, 1), (1, 3, 1, 1)])
def test_an_addend_for_each_channel_becomes_the_bias_of_the_convolution(shape):
    builder, y = conv(bias=False)
    addend = builder.param("c", TensorType(shape))
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(Add(), addend, y, name="sum")], {}),
        """
        graph f(x: f32[2,2,4,4]) -> f32[2,3,2,2]:
          sum.reshape = reshape(c, shape=(3,)) : f32[3]
          conv = conv2d(x, w, sum.reshape, stride=(1, 1), padding=(0, 0)) : f32[2,3,2,2]
          return conv
        """,
    )


@pytest.mark.parametrize("shape", [(1,), (), (2,), (1, 1, 2), (2, 3, 2, 2), (2, 1, 1, 1)])
def test_an_addend_of_another_shape_stays(shape):
    builder, y = conv(bias=False)
    graph = builder.finish([builder.emit(Add(), y, builder.param("c", TensorType(shape)))], {})
    assert_leaves(FUSE, graph)


def test_a_second_bias_stays():
    builder, y = linear(bias=True)
    graph = builder.finish([builder.emit(Add(), y, builder.param("c", TensorType((3,))))], {})
    assert_leaves(FUSE, graph)


def test_a_second_activation_stays():
    builder, y = linear()
    graph = builder.finish([builder.emit(Tanh(), builder.emit(Relu(), y), name="t")], {})
    assert_rewrites(
        FUSE,
        graph,
        """
        graph f(x: f32[2,4]) -> f32[2,3]:
          fc = matmul(x, w, activation=relu) : f32[2,3]
          t = tanh(fc) : f32[2,3]
          return t
        """,
    )


def test_a_bias_after_the_activation_stays():
    builder, y = linear()
    graph = builder.finish([builder.emit(Add(), builder.emit(Relu(), y), builder.param("c", TensorType((3,))))], {})
    assert "matmul(x, w, activation=relu)" in str(FUSE(graph))
    assert [node.op.name for node in FUSE(graph).nodes] == ["matmul", "add"]


def test_nothing_is_fused_into_what_somebody_else_reads():
    builder, y = conv()
    assert_leaves(FUSE, builder.finish([builder.emit(Relu(), y), builder.emit(Tanh(), y)], {}))


def test_nothing_is_fused_into_an_output():
    builder, y = conv()
    assert_leaves(FUSE, builder.finish([builder.emit(Relu(), y), y], {}))


def test_a_sum_of_a_product_with_itself_stays():
    builder, y = linear()
    assert_leaves(FUSE, builder.finish([builder.emit(Add(), y, y)], {}))


def test_an_addend_that_widens_the_result_stays():
    builder, y = linear()
    assert_leaves(FUSE, builder.finish([builder.emit(Add(), y, builder.param("c", TensorType((5, 2, 3))))], {}))


def test_one_product_becomes_the_bias_of_another_in_the_right_order():
    builder, y = linear()
    x = builder.input("z", TensorType((2, 4)))
    other = builder.emit(MatMul(), x, builder.param("v", TensorType((4, 3))), name="other")
    assert_rewrites(
        FUSE,
        builder.finish([builder.emit(Add(), y, other)], {}),
        """
        graph f(x: f32[2,4], z: f32[2,4]) -> f32[2,3]:
          other = matmul(z, v) : f32[2,3]
          fc = matmul(x, w, other) : f32[2,3]
          return fc
        """,
    )


def test_the_fused_node_keeps_the_place_of_the_convolution():
    builder, y = conv()
    graph = FUSE(builder.finish([builder.emit(Relu(), y)], {}))
    assert (graph.node("conv").origin, graph.node("conv").made_by) == ("conv", "fuse_relu")


def test_constants_are_biases_too():
    builder, y = linear()
    c = builder.emit(Constant(Literal(np.ones(3, "f"))), name="c")
    assert [node.op.name for node in FUSE(builder.finish([builder.emit(Add(), c, y)], {})).nodes] == [
        "constant",
        "matmul",
    ]
