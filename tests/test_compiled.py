"""Compiled models: live parameters, snapshots, specialisations, clones, modes, odd signatures."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.graphs import assert_close, joint, random_values, results
from support.random_graphs import random_graphs

import convir
from convir import TensorType, compiled, nn, zoo
from convir.ir import Builder
from convir.ir.ops import Add, Exp, Mul, Reshape, Tanh

F = nn.functional


def draw(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


class Net(nn.Module):
    def __init__(self):
        self.conv = nn.Conv2d(1, 3, 3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3 * 4 * 4, 2)

    def forward(self, x):
        return self.fc(self.drop(F.relu(self.conv(x))).flatten(1))


X = draw(2, 1, 6, 6)


class TestResults:
    def test_results_belong_to_the_caller(self):
        net = convir.compile(zoo.mlp(), (2, 1, 8, 8))
        x = draw(2, 1, 8, 8)
        first = net(x)
        copy = first.copy()
        first[...] = 0
        second = net(x)
        np.testing.assert_array_equal(second, copy)
        net(2 * x)
        np.testing.assert_array_equal(second, copy)
        gradients = net.backward(np.ones((2, 10), "f"))
        kept = {name: array.copy() for name, array in gradients.items()}
        net(3 * x)
        net.backward(np.ones((2, 10), "f"))
        assert all(np.array_equal(gradients[name], kept[name]) for name in kept)
        assert all(array.flags.writeable for array in gradients.values())

    def test_the_callers_arrays_are_only_read(self):
        net = convir.compile(Net().eval(), X.shape)
        x, dy = X.copy(), np.ones((2, 2), "f")
        net(x)
        net.backward(dy)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(dy, 1)

    def test_inputs_of_any_memory_order(self):
        net = convir.compile(Net().eval(), X.shape)
        expected = net(X)
        for same in (np.asfortranarray(X), X[::-1][::-1], X.astype(">f4"), X.transpose(0, 1, 3, 2).swapaxes(2, 3)):
            np.testing.assert_array_equal(net(same), expected)

    def test_uncopied_results_are_read_only_views(self):
        net = convir.compile(Net().eval(), X.shape)
        (y,) = net.run_forward(X)
        assert net.executable.arena.spans(y)
        assert not y.flags.writeable
        gradients = net.run_backward(np.ones((2, 2), "f"))
        assert not any(array.flags.writeable for array in gradients.values())
        np.testing.assert_array_equal(net(X), net.run_forward(X)[0])

    def test_gradients_do_not_depend_on_what_ran_before(self):
        net = convir.compile(Net().eval(), X.shape)
        net(X)
        expected = net.backward(np.ones((2, 2), "f"))
        net(5 * X)
        net.backward(-np.ones((2, 2), "f"))
        net(X)
        found = net.backward(np.ones((2, 2), "f"))
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


class TestParameters:
    def test_parameters_are_live(self):
        model = nn.Linear(2, 1, bias=False)
        net = convir.compile(model, (1, 2))
        model.weight.data[...] = [[2, 3]]
        np.testing.assert_allclose(net(np.array([[10, 1]], "f")), [[23]])
        model.weight.data[...] *= 2
        np.testing.assert_allclose(net(np.array([[10, 1]], "f")), [[46]])

    def test_the_patch_lowering_sees_them_too(self):
        model = nn.Conv2d(1, 1, 1, bias=False)
        net = convir.compile(model, (1, 1, 2, 2))
        x = draw(1, 1, 2, 2)
        model.weight.data[...] = 3
        np.testing.assert_allclose(net(x), 3 * x, rtol=1e-6)

    def test_loading_a_state_dict_is_seen(self):
        model, other = Net().eval(), Net().eval()
        net = convir.compile(model, X.shape)
        model.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(net(X), convir.compile(other, X.shape)(X))

    def test_running_does_not_change_them(self):
        model = Net()
        before = model.state_dict()
        net = convir.compile(model, X.shape)
        for _ in range(2):
            net(X)
            net.backward(np.ones((2, 2), "f"))
        assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())

    def test_gradients_are_named_like_the_state_dict(self):
        net = convir.compile(Net(), X.shape)
        net(X)
        gradients = net.backward(np.ones((2, 2), "f"))
        assert list(gradients) == ["conv.weight", "conv.bias", "fc.weight", "fc.bias", "x"]

    def test_frozen_parameters_have_no_gradient(self):
        model = Net()
        model.conv.requires_grad_(False)
        net = convir.compile(model, X.shape)
        net(X)
        assert list(net.backward(np.ones((2, 2), "f"))) == ["fc.weight", "fc.bias", "x"]

    def test_a_parameter_used_twice_has_the_sum_of_both(self):
        layer = nn.Linear(2, 2, bias=False)
        net = convir.compile(nn.Sequential(layer, layer), TensorType((1, 2)))
        x = draw(1, 2)
        net(x)
        (found,) = (v for name, v in net.backward(np.ones((1, 2), "f")).items() if name != "input")
        w, ones = layer.weight.data, np.ones((1, 2), "f")
        np.testing.assert_allclose(found, ones.T @ (x @ w.T) + (ones @ w).T @ x, rtol=1e-5)

    @pytest.mark.parametrize("wrt", [["x"], ["fc.bias", "conv.weight"], "fc.weight", ()])
    def test_only_what_is_asked_for(self, wrt):
        model = Net().eval()
        whole, part = convir.compile(model, X.shape), convir.compile(model, X.shape, wrt=wrt)
        whole(X), part(X)
        expected = whole.backward(np.ones((2, 2), "f"))
        if not wrt:
            with pytest.raises(convir.ExecutionError, match="nothing to differentiate by"):
                part.backward(np.ones((2, 2), "f"))
            return
        found = part.backward(np.ones((2, 2), "f"))
        assert list(found) == ([wrt] if isinstance(wrt, str) else wrt)
        assert_close(list(found.values()), [expected[name] for name in found], 1e-6)


class TestInference:
    def test_equals_the_model_in_eval(self):
        model = Net()
        quick = convir.compile(model, X.shape, inference=True)
        assert not any(node.op.name in ("dropout_mask", "mul") for node in quick.graph.nodes)
        assert not quick.graph.params
        np.testing.assert_allclose(quick(X), convir.compile(model.eval(), X.shape)(X), rtol=1e-5, atol=1e-6)

    def test_is_a_snapshot(self):
        model = Net()
        quick = convir.compile(model, X.shape, inference=True)
        before = quick(X)
        for parameter in model.parameters():
            parameter.data[...] = 7
        np.testing.assert_array_equal(quick(X), before)

    def test_the_snapshot_holds_for_other_batches_and_clones(self):
        model = Net()
        quick = convir.compile(model, X.shape, inference=True)
        before = quick(X)
        for parameter in model.parameters():
            parameter.data[...] = 7
        np.testing.assert_allclose(quick(X[:1]), before[:1], rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(quick.clone()(X), before)

    def test_leaves_the_weights_alone(self):
        model = Net()
        before = model.state_dict()
        convir.compile(model, X.shape, inference=True)(X)
        assert all(np.array_equal(array, before[name]) for name, array in model.state_dict().items())

    def test_folds_what_depends_on_weights_only(self):
        class Scaled(nn.Module):
            def __init__(self):
                self.a = nn.Parameter([1.0, 2.0])
                self.b = nn.Parameter([3.0, 4.0])

            def forward(self, x):
                return x * F.relu(self.a * self.b + self.a)

        quick = convir.compile(Scaled(), (2,), inference=True)
        assert [node.op.name for node in quick.graph.nodes] == ["constant", "mul"]
        np.testing.assert_array_equal(quick(np.ones(2, "f")), [4, 10])

    def test_takes_no_backward_memory(self):
        model = zoo.lenet5()
        both = [convir.compile(model, (8, 1, 28, 28), inference=flag) for flag in (False, True)]
        assert both[1].memory.peak_bytes < both[0].memory.peak_bytes
        assert both[1].backward_graph is None


class TestSpecialisations:
    def test_another_batch_is_compiled_once(self):
        net = convir.compile(Net().eval(), X.shape)
        first = net.program
        y = net(X[:1])
        other = net.program
        assert other is not first
        np.testing.assert_allclose(y, net(X)[:1], rtol=1e-5, atol=1e-6)
        assert net.program is first
        net(X[:1])
        assert net.program is other

    def test_gradients_are_those_of_the_last_call(self):
        net = convir.compile(Net().eval(), X.shape)
        net(X)
        net(X[:1])
        assert net.backward(np.ones((1, 2), "f"))["x"].shape == (1, 1, 6, 6)

    def test_the_least_recently_used_goes_first(self, monkeypatch):
        monkeypatch.setattr(compiled, "KEPT_SPECIALISATIONS", 3)
        net = convir.compile(nn.Linear(2, 2), (1, 2))
        programs = {}
        for batch in (1, 2, 3, 1, 4):
            net(draw(batch, 2))
            programs.setdefault(batch, net.program)
        assert len(net._specialisations) == 3
        for batch, kept in ((1, True), (3, True), (4, True), (2, False)):
            net(draw(batch, 2))
            assert (net.program is programs[batch]) == kept

    def test_python_code_sees_the_new_shape(self):
        def f(x):
            return x * 2 if x.shape[0] > 2 else x

        net = convir.compile(f, (1, 3))
        np.testing.assert_array_equal(net(np.ones((2, 3), "f")), np.ones((2, 3)))
        np.testing.assert_array_equal(net(np.ones((4, 3), "f")), np.full((4, 3), 2))

    def test_a_graph_is_specialised_by_its_shape_rules(self):
        net = convir.compile(convir.trace(Net().eval(), X.shape))
        np.testing.assert_allclose(net(X[:1]), net(X)[:1], rtol=1e-5, atol=1e-6)

    def test_a_failed_specialisation_leaves_the_rest_usable(self):
        net = convir.compile(Net().eval(), X.shape)
        y = net(X)
        with pytest.raises(convir.ShapeError, match="matmul at fc"):
            net(draw(2, 1, 7, 7))
        assert net.backward(np.ones((2, 2), "f"))["x"].shape == X.shape
        np.testing.assert_array_equal(net(X), y)

    def test_many_batches_stay_bounded(self):
        net = convir.compile(nn.Linear(2, 2), (1, 2))
        for batch in range(1, 2 * compiled.KEPT_SPECIALISATIONS):
            net(draw(batch, 2))
        assert len(net._specialisations) == compiled.KEPT_SPECIALISATIONS


class TestModes:
    def test_train_and_eval_are_seen_by_the_next_call(self):
        model = nn.Sequential(nn.Dropout(0.5))
        net = convir.compile(model, (100,))
        ones = np.ones(100, "f")
        assert set(net(ones).tolist()) == {0, 2}
        model.eval()
        np.testing.assert_array_equal(net(ones), ones)
        model.train()
        assert set(net(ones).tolist()) == {0, 2}

    def test_the_mode_of_one_layer_is_seen_too(self):
        model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
        net = convir.compile(model, (1000,))
        ones = np.ones(1000, "f")
        assert set(net(ones).tolist()) == {0, 4}
        model[0].eval()
        assert set(net(ones).tolist()) == {0, 2}
        model[1].eval()
        np.testing.assert_array_equal(net(ones), ones)

    def test_masks_differ_from_call_to_call_and_follow_the_seed(self):
        net = convir.compile(nn.Dropout(0.5), (1000,))
        ones = np.ones(1000, "f")
        convir.manual_seed(5)
        first, second = net(ones), net(ones)
        assert (first != second).any()
        convir.manual_seed(5)
        np.testing.assert_array_equal(net(ones), first)


class TestClone:
    def test_a_clone_has_memory_of_its_own_and_shares_parameters(self):
        model = Net().eval()
        net = convir.compile(model, X.shape)
        other = net.clone()
        assert not np.shares_memory(net.executable.read(net.graph.inputs[0]), other.executable.arrays["x"])
        y = net(X)
        other(5 * X)
        gradients, expected = net.backward(np.ones((2, 2), "f")), convir.compile(model, X.shape)
        expected(X)
        assert_close(list(gradients.values()), list(expected.backward(np.ones((2, 2), "f")).values()), 1e-6)
        for parameter in model.parameters():
            parameter.data[...] = 0
        assert not other(X).any()
        assert y.any()

    def test_clones_run_in_threads(self):
        net = convir.compile(Net().eval(), X.shape)
        scales = (1, 2, 3)
        expected = {scale: net(scale * X) for scale in scales}
        found = {}

        def work(mine, scale):
            for _ in range(20):
                found[scale] = mine(scale * X)
                mine.backward(np.ones((2, 2), "f"))

        threads = [threading.Thread(target=work, args=(net.clone(), scale)) for scale in scales]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for scale in scales:
            np.testing.assert_allclose(found[scale], expected[scale], rtol=1e-5, atol=1e-5)


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
