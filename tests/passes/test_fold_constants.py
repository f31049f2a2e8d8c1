"""Folding constants, baking parameters, and removing dropout."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import Bound, assert_leaves, assert_rewrites, bind, random_values, results, text

from convir import ConvirError, TensorType
from convir.ir import Builder, Graph, verify
from convir.ir.ops import Add, BroadcastTo, Constant, DropoutMask, Literal, MatMul, Mul, Relu, Transpose
from convir.passes.dropout import RemoveDropout
from convir.passes.fold_constants import BakeParameters, FoldConstants
from convir.runtime import evaluate

FOLD = FoldConstants(evaluate)


def constant(builder: Builder, *numbers: float):
    return builder.emit(Constant(Literal(np.array(numbers, "f"))))


def test_what_depends_on_constants_only_is_computed():
    builder = Builder("f")
    x = builder.input("x", TensorType((2,)))
    total = builder.emit(Add(), constant(builder, 1, 2), constant(builder, 3, 4), name="total")
    after = assert_rewrites(
        FOLD,
        builder.finish([builder.emit(Mul(), x, builder.emit(Relu(), total, name="sum"), name="y")], {}),
        """
        graph f(x: f32[2]) -> f32[2]:
          sum = constant(value=<DIGEST>) : f32[2]
          y = mul(x, sum) : f32[2]
          return y
        """.replace("DIGEST", Literal(np.array([4, 6], "f")).digest),
    )
    np.testing.assert_array_equal(after.node("sum").op.value.array, [4, 6])


def test_what_reads_an_input_or_parameter_stays():
    builder = Builder("f")
    x, w = builder.input("x", TensorType((2,))), builder.param("w", TensorType((2,)))
    c = constant(builder, 1, 2)
    graph = builder.finish([builder.emit(Add(), x, c), builder.emit(Add(), w, c)], {})
    assert_leaves(FOLD, graph)


def test_masks_and_broadcasts_of_constants_stay():
    builder = Builder("f")
    c = constant(builder, 1, 2)
    graph = builder.finish([builder.emit(DropoutMask(0.5), c), builder.emit(BroadcastTo((1000, 2)), c)], {})
    assert_leaves(FOLD, graph)


def test_views_fold_too():
    builder = Builder("f")
    c = builder.emit(Constant(Literal(np.arange(6, dtype="f").reshape(2, 3))))
    graph = FOLD(builder.finish([builder.emit(Transpose((1, 0)), c, name="t")], {}))
    np.testing.assert_array_equal(graph.node("t").op.value.array, np.arange(6).reshape(2, 3).T)


def linear() -> Graph:
    builder = Builder("f")
    x, w = builder.input("x", TensorType((1, 2))), builder.param("w", TensorType((2, 2)))
    return bind(builder.finish([builder.emit(MatMul(), x, w, name="y")], {}))


def test_baking_turns_parameters_into_constants():
    graph = linear()
    digest = Literal(graph.bindings["w"].data).digest
    after = assert_rewrites(
        BakeParameters(),
        graph,
        f"""
        graph f(x: f32[1,2]) -> f32[1,2]:
          w = constant(value=<{digest}>) : f32[2,2]
          y = matmul(x, w) : f32[1,2]
          return y
        """,
    )
    assert not after.params
    assert not after.bindings


def test_baked_parameters_do_not_change_any_more():
    graph = linear()
    values = random_values(graph)
    after = BakeParameters()(graph)
    (before,) = results(after, values)
    graph.bindings["w"].data[...] = 0
    np.testing.assert_array_equal(results(after, values)[0], before)


def test_given_arrays_are_baked_instead_of_the_models():
    after = BakeParameters({"w": np.eye(2, dtype="f")})(linear())
    (y,) = results(after, {"x": np.array([[3, 4]], "f")})
    np.testing.assert_array_equal(y, [[3, 4]])


def test_a_parameter_without_array_is_named():
    with pytest.raises(ConvirError, match="bindings lack 'w'"):
        BakeParameters()(linear().replace(bindings={}))


def test_an_array_of_another_type_is_refused():
    with pytest.raises(ConvirError, match=r"parameter w: f32\[2,2\] of graph f is bound to an array f64\[2,2\]"):
        BakeParameters()(linear().replace(bindings={"w": Bound(np.eye(2))}))


def test_a_literal_is_a_copy_that_cannot_be_written():
    array = np.ones(3, "f")
    literal = Literal(array)
    array[:] = 0
    assert literal.array.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        literal.array[0] = 2
    assert literal == Literal(np.ones(3, "f"))
    assert hash(literal) == hash(Literal(np.ones(3, "f")))
    assert literal != Literal(np.ones(3))
    assert Literal(np.zeros(1, "f")) != Literal(np.zeros((), "f"))
    assert Literal(np.zeros(1, "f")) != Literal(np.zeros(1, "int32"))


@pytest.mark.parametrize("mask_first", [False, True])
def test_dropout_is_removed_whichever_operand_the_mask_is(mask_first):
    builder = Builder("f")
    x = builder.input("x", TensorType((3,)))
    y = builder.emit(Relu(), x, name="y")
    operands = [y, builder.emit(DropoutMask(0.5), y)]
    dropped = builder.emit(Mul(), *(reversed(operands) if mask_first else operands))
    after = RemoveDropout()(builder.finish([dropped], {}))
    verify(after)
    assert text(after).splitlines()[1:] == ["  y = relu(x) : f32[3]", "  return y"]


def test_other_products_are_left_alone():
    builder = Builder("f")
    x = builder.input("x", TensorType((3,)))
    assert_leaves(RemoveDropout(), builder.finish([builder.emit(Mul(), x, x)], {}))
