"""Parameters of compiled models: live, or a snapshot for inference; and which have a gradient."""

from __future__ import annotations

import numpy as np
import pytest
from support.compiled_nets import F, Net, X, draw
from support.graphs import assert_close

import convir
from convir import TensorType, nn, zoo


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
