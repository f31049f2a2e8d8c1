"""Common subexpressions and dead code."""

from __future__ import annotations

import numpy as np
from support.graphs import assert_leaves, assert_rewrites

from convir import TensorType
from convir.ir import Builder
from convir.ir.ops import Add, Constant, DropoutMask, Literal, MatMul, Mul, Relu, Sum, Tanh
from convir.passes.eliminate import EliminateCommonSubexpressions, EliminateDeadCode


def start(*shape: int):
    builder = Builder("f")
    return builder, builder.input("x", TensorType(shape))


def test_equal_nodes_merge_into_the_first():
    builder, x = start(3)
    a, b = builder.emit(Relu(), x), builder.emit(Relu(), x)
    graph = builder.finish([builder.emit(Mul(), a, b, name="y")], {})
    assert_rewrites(
        EliminateCommonSubexpressions(),
        graph,
        """
        graph f(x: f32[3]) -> f32[3]:
          relu = relu(x) : f32[3]
          y = mul(relu, relu) : f32[3]
          return y
        """,
    )


def test_merging_makes_more_equal():
    builder, x = start(3)
    a, b = (builder.emit(Tanh(), builder.emit(Relu(), x)) for _ in range(2))
    graph = builder.finish([a, b], {})
    assert_rewrites(
        EliminateCommonSubexpressions(),
        graph,
        """
        graph f(x: f32[3]) -> (f32[3], f32[3]):
          relu = relu(x) : f32[3]
          tanh = tanh(relu) : f32[3]
          return tanh, tanh
        """,
    )


def test_equal_constants_merge():
    builder, x = start(2)
    one, other = (builder.emit(Constant(Literal(np.array([1, 2], "f")))) for _ in range(2))
    total = builder.emit(Add(), builder.emit(Mul(), x, one), other)
    assert_rewrites(
        EliminateCommonSubexpressions(),
        builder.finish([total], {}),
        """
        graph f(x: f32[2]) -> f32[2]:
          constant = constant(value=<d6bc4fcd>) : f32[2]
          mul = mul(x, constant) : f32[2]
          add = add(mul, constant) : f32[2]
          return add
        """.replace("d6bc4fcd", Literal(np.array([1, 2], "f")).digest),
    )


def test_constants_of_other_shape_type_or_sign_do_not_merge():
    builder, _ = start(1)
    arrays = [np.zeros((), "f"), np.zeros(1, "f"), np.zeros((), "d"), np.array(-0.0, "f")]
    graph = builder.finish([builder.emit(Constant(Literal(array))) for array in arrays], {})
    assert_leaves(EliminateCommonSubexpressions(), graph)


def test_other_attributes_or_operand_order_do_not_merge():
    builder, x = start(2, 2)
    y = builder.input("y", TensorType((2, 2)))
    results = [
        builder.emit(Sum((0,)), x),
        builder.emit(Sum((1,)), x),
        builder.emit(MatMul(), x, y),
        builder.emit(MatMul(), y, x),
        builder.emit(MatMul(transpose_b=True), x, y),
    ]
    assert_leaves(EliminateCommonSubexpressions(), builder.finish(results, {}))


def test_random_nodes_never_merge():
    builder, x = start(4)
    masks = [builder.emit(DropoutMask(0.5), x) for _ in range(2)]
    assert_leaves(EliminateCommonSubexpressions(), builder.finish(masks, {}))


def test_dead_code_goes_and_inputs_stay():
    builder, x = start(3)
    builder.emit(Tanh(), builder.emit(Relu(), x))
    builder.input("idle", TensorType((1,)))
    graph = builder.finish([builder.emit(Mul(), x, x, name="y")], {})
    assert_rewrites(
        EliminateDeadCode(),
        graph,
        """
        graph f(x: f32[3], idle: f32[1]) -> f32[3]:
          y = mul(x, x) : f32[3]
          return y
        """,
    )


def test_live_code_stays():
    builder, x = start(3)
    y = builder.emit(Relu(), x)
    assert_leaves(EliminateDeadCode(), builder.finish([builder.emit(Tanh(), y), y], {}))
