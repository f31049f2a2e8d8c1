"""Compiled models: whose arrays are whose, specialisations, training mode, clones."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from support.compiled_nets import Net, X, draw
from support.graphs import assert_close

import convir
from convir import nn, specialisations, zoo


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
        monkeypatch.setattr(specialisations, "KEPT_SPECIALISATIONS", 3)
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
        for batch in range(1, 2 * specialisations.KEPT_SPECIALISATIONS):
            net(draw(batch, 2))
        assert len(net._specialisations) == specialisations.KEPT_SPECIALISATIONS


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
