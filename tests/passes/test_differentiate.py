"""Gradients: every rule against central differences, and the pass that chains them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.differences import assert_gradients
from support.gradient_samples import SAMPLES
from support.graphs import assert_close, bind, block, graph_of, joint, random_values, results, text
from support.random_graphs import random_graphs

from convir import ConvirError, TensorType, UnsupportedError
from convir.ir import OPS, Builder, Graph, Op, verify
from convir.ir.ops import (
    Add,
    Conv2d,
    CrossEntropy,
    DropoutMask,
    Exp,
    MatMul,
    Max,
    MaxPool2d,
    Mean,
    Mul,
    Relu,
    Reshape,
    Sigmoid,
    Sub,
    Sum,
    Tanh,
)
from convir.passes.differentiate import Differentiate
from convir.passes.grad import GRADIENTS, NOT_DIFFERENTIABLE
from convir.passes.grad.registry import gradient

LEAVES = {"constant", "dropout_mask"}
RULES = [
    pytest.param(op, operands, id=f"{cls.name}-{index}")
    for cls in GRADIENTS
    if cls.name not in LEAVES
    for index, (op, operands) in enumerate(SAMPLES.get(cls, ()))
]


def test_every_rule_has_samples():
    assert [cls.name for cls in GRADIENTS if not SAMPLES.get(cls)] == []


@pytest.mark.parametrize(("op", "operands"), RULES)
def test_the_rule_agrees_with_central_differences(op, operands):
    graph = graph_of(op, *(TensorType(array.shape, array.dtype.name) for array in operands))
    names = [value.name for value in graph.inputs]
    assert_gradients(graph, dict(zip(names, operands, strict=True)))


SMOOTH = [
    pytest.param(op, shapes, id=op.name)
    for op, shapes in [
        (Mul(), [(2, 3), (3,)]),
        (Exp(), [(4,)]),
        (Sigmoid(), [(4,)]),
        (Tanh(), [(4,)]),
        (Mean((0,)), [(2, 3)]),
        (MatMul(transpose_b=True, activation="tanh"), [(2, 3), (2, 3), (2,)]),
        (Conv2d((2, 1), (1, 0), activation="sigmoid"), [(1, 2, 4, 3), (2, 2, 3, 2), (2,)]),
    ]
]


@pytest.mark.parametrize(("op", "shapes"), SMOOTH)
def test_the_gradient_can_be_differentiated_again(op, shapes):
    first = joint(graph_of(op, *shapes, dtype="float64"))
    assert_gradients(first, random_values(first))


@given(random_graphs(smooth=True))
@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_agree_with_directional_differences(graph):
    whole = joint(graph)
    values = random_values(graph) | random_values(whole)
    rng = np.random.default_rng(2)
    own = (*graph.params, *graph.inputs)
    directions = {v.name: rng.standard_normal(v.type.shape) for v in own}
    gradients = results(whole, values)[len(graph.outputs) :]
    slope = sum(float(np.sum(g * directions[v.name])) for g, v in zip(gradients, own, strict=True))
    cotangents = [values[v.name] for v in whole.inputs[len(graph.inputs) :]]

    def loss(step: float) -> float:
        moved = {name: values[name] + step * direction for name, direction in directions.items()}
        return sum(float(np.sum(c * y)) for c, y in zip(cotangents, results(graph, moved), strict=True))

    expected = (loss(1e-6) - loss(-1e-6)) / 2e-6
    assert slope == pytest.approx(expected, rel=1e-5, abs=1e-5)


def square_plus(n: int = 3) -> Graph:
    builder = Builder("f")
    x = builder.input("x", TensorType((n,)))
    return builder.finish([builder.emit(Add(), builder.emit(Mul(), x, x, name="square"), x, name="y")], {})


def test_the_backward_is_appended_as_ordinary_nodes():
    graph = square_plus()
    after = joint(graph)
    verify(after)
    assert text(after) == block("""
        graph f(x: f32[3], y.grad: f32[3]) -> (f32[3], f32[3]):
          square = mul(x, x) : f32[3]
          y = add(square, x) : f32[3]
          x.grad = mul(y.grad, x) : f32[3]
          x.grad_1 = mul(y.grad, x) : f32[3]
          x.grad_2 = add(y.grad, x.grad) : f32[3]
          x.grad_3 = add(x.grad_2, x.grad_1) : f32[3]
          return y, x.grad_3
    """)
    x, dy = np.array([1, -2, 0.5], "f"), np.array([1, 2, 3], "f")
    np.testing.assert_allclose(results(after, {"x": x, "y.grad": dy})[1], dy * (2 * x + 1))


def test_new_nodes_say_where_they_come_from():
    after = joint(square_plus())
    node = after.node("x.grad")
    assert (node.made_by, node.origin) == ("differentiate", "square")


def test_gradients_come_in_the_order_of_wrt_parameters_first():
    builder = Builder("linear")
    x = builder.input("x", TensorType((2, 3)))
    w = builder.param("w", TensorType((3, 4)))
    graph = builder.finish([builder.emit(MatMul(), x, w, name="y")], {})
    assert [v.type.shape for v in joint(graph).outputs] == [(2, 4), (3, 4), (2, 3)]
    assert [v.type.shape for v in joint(graph, "x").outputs] == [(2, 4), (2, 3)]
    assert [v.type.shape for v in joint(graph, "x", "w").outputs] == [(2, 4), (2, 3), (3, 4)]


def test_what_is_not_asked_for_is_not_computed():
    builder = Builder("linear")
    x = builder.input("x", TensorType((2, 3)))
    w = builder.param("w", TensorType((3, 4)))
    graph = builder.finish([builder.emit(MatMul(), x, w, name="y")], {})
    assert "w.grad" not in {node.name for node in joint(graph, "x").nodes}


def test_frozen_parameters_have_no_gradient():
    graph = bind(graph_with_param())
    graph.bindings["w"].requires_grad = False
    assert Differentiate().targets(graph) == ("x",)


def graph_with_param() -> Graph:
    builder = Builder("scale")
    x = builder.input("x", TensorType((3,)))
    return builder.finish([builder.emit(Mul(), x, builder.param("w", TensorType((3,))), name="y")], {})


def test_an_unused_input_has_a_zero_gradient():
    builder = Builder("unused")
    x = builder.input("x", TensorType((2,)))
    builder.input("idle", TensorType((2, 3)))
    builder.input("number", TensorType(()))
    after = joint(builder.finish([builder.emit(Relu(), x)], {}))
    idle, number = results(after, random_values(after))[2:]
    assert idle.shape == (2, 3)
    assert not idle.any()
    assert number == 0


def test_an_output_that_is_an_input_passes_its_cotangent_on():
    builder = Builder("identity")
    x = builder.input("x", TensorType((2,)))
    after = joint(builder.finish([x], {}))
    assert [value.name for value in after.outputs] == ["x", "x.grad"]


def test_a_value_that_stands_twice_has_two_cotangents():
    builder = Builder("twice")
    x = builder.input("x", TensorType((2,)))
    y = builder.emit(Exp(), x, name="y")
    after = joint(builder.finish([y, y], {}))
    assert [value.name for value in after.inputs] == ["x", "y.grad", "y.grad_1"]
    values = {"x": np.zeros(2, "f"), "y.grad": np.array([1, 2], "f"), "y.grad_1": np.array([10, 20], "f")}
    np.testing.assert_array_equal(results(after, values)[2], [11, 22])


def test_a_sum_that_is_read_twice():
    """Its cotangent is a sum too, and goes to both operands."""
    builder = Builder("residual")
    a, b = (builder.input(name, TensorType((2,))) for name in "ab")
    y = builder.emit(Add(), a, b, name="y")
    after = joint(builder.finish([builder.emit(Mul(), builder.emit(Exp(), y), y, name="z")], {}))
    verify(after)
    values = {"a": np.array([0.5, 1], "f"), "b": np.array([0.5, -1], "f"), "z.grad": np.ones(2, "f")}
    for found in results(after, values)[1:]:
        np.testing.assert_allclose(found, [2 * np.e, 1], rtol=1e-6)


def test_only_the_outputs_asked_for_are_differentiated():
    builder = Builder("two")
    x = builder.input("x", TensorType((2,)))
    y, z = builder.emit(Exp(), x, name="y"), builder.emit(Tanh(), x, name="z")
    after = Differentiate(of=(1,))(builder.finish([y, z], {}))
    assert [value.name for value in after.inputs] == ["x", "z.grad"]
    values = {"x": np.array([0.5, 1], "f"), "z.grad": np.ones(2, "f")}
    np.testing.assert_allclose(results(after, values)[2], 1 - np.tanh(values["x"]) ** 2, rtol=1e-6)


@pytest.mark.parametrize("position", [2, -1, "y"])
def test_an_output_that_does_not_exist_cannot_be_differentiated(position):
    with pytest.raises(ConvirError, match=r"cannot differentiate output .* of f; it has 0 \(y: f32\[3\]\)"):
        Differentiate(of=(position,))(square_plus())


def test_class_indices_have_no_gradient():
    graph = graph_of(CrossEntropy(), TensorType((3, 4)), TensorType((3,), "int64"))
    assert Differentiate().targets(graph) == ("logits",)
    with pytest.raises(ConvirError, match="cannot differentiate one by 'target'; it has logits"):
        Differentiate(("target",))(graph)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ConvirError, match="cannot differentiate f by 'z'; it has x"):
        joint(square_plus(), "z")


def test_a_graph_of_integers_stays_as_it_is():
    builder = Builder("ints")
    x = builder.input("x", TensorType((2,), "int64"))
    graph = builder.finish([builder.emit(Reshape((2, 1)), x)], {})
    assert Differentiate()(graph) is graph


@pytest.mark.parametrize("op", [MaxPool2d(kernel_size=(2, 2)), Max((2, 3))], ids=lambda op: op.name)
def test_what_has_no_second_derivative_says_so(op):
    first = joint(graph_of(op, (1, 1, 3, 3)))
    with pytest.raises(UnsupportedError, match=f"{op.name}_grad.*: no gradient: the second derivative"):
        joint(first)


def test_nothing_flows_through_a_mask():
    builder = Builder("dropout")
    x = builder.input("x", TensorType((3,)))
    y = builder.emit(Mul(), x, builder.emit(DropoutMask(0.5), x, name="mask"), name="y")
    after = joint(builder.finish([y], {}))
    assert [node.name for node in after.nodes] == ["mask", "y", "x.grad"]


class Double(Op):
    """``y = a + b``, registered by the test below under no name."""

    operand_names = ("a", "b")

    def infer(self, *operands):
        return operands[:1]


def test_a_rule_may_return_one_value_for_two_operands():
    @gradient(Double)
    def rule(builder, node, cotangent):
        shared = builder.emit(Mul(), cotangent, cotangent)
        return [shared, shared]

    try:
        builder = Builder("shared")
        a, b = (builder.input(name, TensorType((2,))) for name in "ab")
        after = joint(builder.finish([builder.emit(Double(), a, b, name="y")], {}))
        verify(after)
        assert after.outputs[1] == after.outputs[2] == after.node("mul").outputs[0]
    finally:
        del GRADIENTS[Double]


def test_an_op_without_a_rule_is_named():
    builder = Builder("none")
    a, b = (builder.input(name, TensorType((2,))) for name in "ab")
    graph = builder.finish([builder.emit(Double(), a, b, name="y")], {})
    with pytest.raises(UnsupportedError, match="no gradient rule is registered"):
        joint(graph)


def test_relu_at_zero_has_slope_zero():
    after = joint(graph_of(Relu(), (3,)))
    found = results(after, {"input": np.array([-1, 0, 1], "f"), "y.grad": np.ones(3, "f")})[1]
    np.testing.assert_array_equal(found, [0, 0, 1])


def test_equal_maxima_share_the_cotangent():
    after = joint(graph_of(Max((0,)), (4,)))
    values = {"input": np.array([1, 3, 3, 2], "f"), "y.grad": np.array(1, "f")}
    np.testing.assert_array_equal(results(after, values)[1], [0, 0.5, 0.5, 0])


def test_reasons_are_sentences():
    assert all(len(reason.split()) > 4 for reason in NOT_DIFFERENTIABLE.values())
    assert not NOT_DIFFERENTIABLE.keys() & GRADIENTS.keys()


def test_gradients_of_a_composed_function_agree_with_calculus():
    builder = Builder("f")
    x, y = (builder.input(name, TensorType((), "float64")) for name in "xy")
    product = builder.emit(Mul(), x, y)
    out = builder.emit(Sub(), builder.emit(Exp(), product), builder.emit(Mul(), product, product))
    after = joint(builder.finish([builder.emit(Sum(()), out, name="z")], {}))
    given = {"x": np.array(0.3), "y": np.array(-1.2), "z.grad": np.array(1.0)}
    p = 0.3 * -1.2
    expected = (np.exp(p) - 2 * p) * np.array([-1.2, 0.3])
    np.testing.assert_allclose(results(after, given)[1:], expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "op"), [("relu", Relu()), ("sigmoid", Sigmoid()), ("tanh", Tanh())])
def test_fused_activations_have_the_gradient_of_the_two_ops(name, op):
    builder = Builder("apart")
    a, b = builder.input("a", TensorType((2, 3), "float64")), builder.input("b", TensorType((3, 4), "float64"))
    apart = joint(builder.finish([builder.emit(op, builder.emit(MatMul(), a, b), name="y")], {}))
    fused = joint(graph_of(MatMul(activation=name), (2, 3), (3, 4), dtype="float64"))
    values = random_values(apart)
    assert_close(results(fused, values), results(apart, values), 1e-12)


@pytest.fixture
def split_op():
    """An op with two results, for as long as a test runs."""

    @dataclass(frozen=True)
    class Halves(Op):
        """``a = x; b = x``"""

        name = "halves"
        operand_names = ("input",)

        def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
            return (operands[0], operands[0])

    yield Halves()
    del OPS["halves"]


def test_a_second_result_is_refused_and_not_differentiated_to_zero(split_op):
    builder = Builder("f")
    _, second = builder.emit_all(split_op, [builder.input("x", TensorType((2,)))])
    graph = builder.finish([builder.emit(Relu(), second, name="y")], {})
    with pytest.raises(UnsupportedError, match="halves: no gradient: gradient rules know ops with one result"):
        Differentiate()(graph)
