"""Compiled models with odd signatures, and random graphs through the whole pipeline."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.compiled_nets import F, Net, X, draw
from support.graphs import assert_close, joint, random_values, results
from support.random_graphs import random_graphs

import convir
from convir import TensorType, nn, zoo
from convir.ir import Builder
from convir.ir.ops import Add, Exp, Mul, Reshape, Tanh


class TestSignatures:
    def test_float64(self):
        model = Net().eval().double()
        net = convir.compile(model, TensorType(X.shape, "float64"))
        y = net(X.astype("d"))
        assert y.dtype == "float64"
        gradients = net.backward(np.ones((2, 2)))
        assert {array.dtype.name for array in gradients.values()} == {"float64"}
        np.testing.assert_allclose(y, convir.compile(model.float(), X.shape)(X), rtol=1e-4, atol=1e-5)

    def test_several_inputs_and_outputs(self):
        net = convir.compile(lambda a, b: (a * b, a + b), (3,), (2, 3))
        a, b = draw(3), draw(2, 3)
        product, total = net(a, b)
        np.testing.assert_array_equal(product, a * b)
        np.testing.assert_array_equal(total, a + b)
        dp, dt = np.ones((2, 3), "f"), np.full((2, 3), 10, "f")
        gradients = net.backward(dp, dt)
        np.testing.assert_allclose(gradients["a"], (dp * b + dt).sum(axis=0), rtol=1e-6)
        np.testing.assert_allclose(gradients["b"], dp * a + dt, rtol=1e-6)

    def test_an_output_that_is_an_input(self):
        net = convir.compile(lambda x: (x, x.relu(), x), (3,))
        x = np.array([-1, 0, 2], "f")
        same, y, again = net(x)
        np.testing.assert_array_equal(same, x)
        np.testing.assert_array_equal(again, x)
        np.testing.assert_array_equal(y, [0, 0, 2])
        assert not np.shares_memory(same, x)
        assert not np.shares_memory(same, again)
        cotangents = [np.full(3, n, "f") for n in (1, 10, 100)]
        np.testing.assert_array_equal(net.backward(*cotangents)["x"], [101, 101, 111])

    def test_nothing_but_the_input(self):
        net = convir.compile(lambda x: x, (2,))
        np.testing.assert_array_equal(net(np.array([1, 2], "f")), [1, 2])
        np.testing.assert_array_equal(net.backward(np.array([3, 4], "f"))["x"], [3, 4])

    def test_an_output_that_is_a_parameter(self):
        class Weight(nn.Module):
            def __init__(self):
                self.w = nn.Parameter([1.0, 2.0])

            def forward(self, x):
                return x * self.w, self.w

        model = Weight()
        for inference in (False, True):
            net = convir.compile(model, (2,), inference=inference)
            _, w = net(np.ones(2, "f"))
            w[...] = 9
            np.testing.assert_array_equal(model.w.data, [1, 2])
            np.testing.assert_array_equal(net(np.ones(2, "f"))[1], [1, 2])
        net = convir.compile(model, (2,))
        net(np.array([5, 6], "f"))
        np.testing.assert_array_equal(net.backward(np.ones(2, "f"), np.ones(2, "f"))["w"], [6, 7])

    def test_a_view_of_a_parameter(self):
        class Weight(nn.Module):
            def __init__(self):
                self.w = nn.Parameter([[1.0, 2.0]])

            def forward(self, x):
                return self.w.reshape(2) + 0 * x, self.w.flatten(0)

        model = Weight()
        net = convir.compile(model, (2,))
        model.w.data[...] = 5
        for y in net(np.zeros(2, "f")):
            np.testing.assert_array_equal(y, [5, 5])
            y[...] = 0
        np.testing.assert_array_equal(model.w.data, [[5, 5]])

    def test_the_same_value_twice(self):
        net = convir.compile(lambda x: (x.exp(),) * 2, (2,))
        a, b = net(np.zeros(2, "f"))
        a[...] = 5
        np.testing.assert_array_equal(b, [1, 1])
        np.testing.assert_array_equal(net.backward(np.ones(2, "f"), 2 * np.ones(2, "f"))["x"], [3, 3])

    def test_unused_inputs_have_a_zero_gradient(self):
        net = convir.compile(lambda x, idle: x.exp(), (2,), (3, 4))
        net(np.zeros(2, "f"), np.ones((3, 4), "f"))
        gradients = net.backward(np.ones(2, "f"))
        np.testing.assert_array_equal(gradients["idle"], np.zeros((3, 4), "f"))
        np.testing.assert_array_equal(gradients["x"], [1, 1])

    def test_scalars(self):
        net = convir.compile(lambda x: x * x, ())
        assert net(np.array(3, "f")) == 9
        assert net(np.array(3, "f")).shape == ()
        assert net.backward()["x"] == 6

    def test_class_indices(self):
        def loss(x, target):
            return F.cross_entropy(x, target)

        net = convir.compile(loss, (2, 3), TensorType((2,), "int64"))
        x, target = draw(2, 3), np.array([2, 0])
        net(x, target)
        gradients = net.backward()
        assert list(gradients) == ["x"]
        softmax = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(gradients["x"], (softmax - np.eye(3)[target]) / 2, rtol=1e-5, atol=1e-7)

    def test_integers_pass_through(self):
        builder = Builder("ints")
        x, i = builder.input("x", TensorType((2,))), builder.input("i", TensorType((2, 3), "int64"))
        outputs = [builder.emit(Reshape((6,)), i), builder.emit(Exp(), x), i]
        net = convir.compile(builder.finish(outputs, {}))
        numbers = np.arange(6).reshape(2, 3)
        flat, _, same = net(np.zeros(2, "f"), numbers)
        np.testing.assert_array_equal(flat, numbers.ravel())
        np.testing.assert_array_equal(same, numbers)
        np.testing.assert_array_equal(net.backward(np.ones(2, "f"))["x"], [1, 1])

    def test_operands_that_are_one_value(self):
        builder = Builder("same")
        x = builder.input("x", TensorType((3,)))
        y = builder.emit(Tanh(), builder.emit(Add(), x, x))
        net = convir.compile(builder.finish([builder.emit(Mul(), y, y)], {}))
        x = draw(3)
        np.testing.assert_allclose(net(x), np.tanh(2 * x) ** 2, rtol=1e-5)
        expected = 4 * np.tanh(2 * x) * (1 - np.tanh(2 * x) ** 2)
        np.testing.assert_allclose(net.backward(np.ones(3, "f"))["x"], expected, rtol=1e-4, atol=1e-6)

    def test_nan_and_infinity_pass_without_a_warning(self):
        net = convir.compile(lambda x: x.exp() * 2, (3,))
        y = net(np.array([np.nan, np.inf, 1000], "f"))
        np.testing.assert_array_equal(y, np.array([np.nan, np.inf, np.inf], "f"))


@given(random_graphs(most=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_run_as_node_by_node(graph):
    """The whole pipeline, the split, the plan and the kernels against running the traced graph on fresh arrays."""
    whole = joint(graph)
    values = random_values(whole)
    expected = results(whole, values)
    inputs = [values[value.name] for value in graph.inputs]
    names = [value.name for value in (*graph.params, *graph.inputs)]
    gradients = dict(zip(names, expected[len(graph.outputs) :], strict=True))
    for options in ({}, {"pool": "naive", "conv": "naive"}, {"inference": True}):
        net = convir.compile(graph, **options)
        for _ in range(2):
            assert_close(net.run_forward(*inputs), expected[: len(graph.outputs)], 1e-10)
            if "inference" in options:
                continue
            found = net.backward(*(values[value.name] for value in whole.inputs[len(graph.inputs) :]))
            assert_close(list(found.values()), [gradients[name] for name in found], 1e-9)


@pytest.mark.slow
def test_a_mapping_names_some_convolutions_and_the_backend_the_others():
    pytest.importorskip("numba")
    compiled = convir.compile(zoo.lenet5(), (1, 1, 28, 28), conv={"conv1": "naive"}, inference=True, backend="numba")
    ops = {node.op.name for node in compiled.graph.nodes}
    bodies = {inner.op.name for n in compiled.graph.nodes if n.op.name == "region" for inner in n.op.body.nodes}
    assert "conv2d" in ops
    assert "conv2d_direct" in bodies
    assert "im2col" not in ops
