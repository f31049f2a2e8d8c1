"""Lanes that read and write the caller's arrays: what is spared, what must not be, and that results stay the same."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("numba")

import convir
from convir import nn
from convir.ir import Graph
from convir.runtime import Copy, Row, kernels_for
from convir.runtime.native.places import spared

F = nn.functional


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape, dtype="float32")


class Bound:
    """The steps of a function of one array, bound to arrays that a test names."""

    def __init__(self, function, *shapes):
        graph: Graph = convir.trace(function, *shapes)
        self.arrays = {value.name: np.zeros(value.type.shape, value.type.dtype) for value in graph.inputs}
        self.steps = []
        kernels = kernels_for("numba")
        for node in graph.nodes:
            inputs = [self.arrays[value.name] for value in node.inputs]
            if node.op.view:
                self.arrays[node.name] = inputs[0].reshape(node.outputs[0].type.shape)
                continue
            outputs = [np.zeros(value.type.shape, value.type.dtype) for value in node.outputs]
            self.arrays |= {value.name: array for value, array in zip(node.outputs, outputs, strict=True)}
            self.steps.append(kernels.bind(node, inputs, outputs))
        self.results = [self.arrays[value.name] for value in graph.outputs]

    def spared(self, lasting=()):
        """(step, column) of what is spared, in the order of inputs and results; None for what is not."""
        given = [array for name, array in self.arrays.items() if name in ("x", "y")]
        copies = [Copy(array, slot, 0, any(array is each for each in lasting)) for slot, array in
                  enumerate([*given, *self.results])]  # fmt: skip
        row = Row(self.steps, tuple(copies[: len(given)]), tuple(copies[len(given) :]), 0, 1)
        found = spared(row, self.steps)
        return [found.get(copy) for copy in copies]


def test_inputs_are_read_and_results_written_where_they_are():
    bound = Bound(lambda x, y: (x + y).exp() * x, (3,), (3,))
    assert bound.spared() == [[(0, 0), (2, 1)], [(0, 1)], [(2, 2)]]


def test_views_are_where_the_array_is():
    bound = Bound(lambda x: x.reshape(6).exp().reshape(3, 2), (2, 3))
    assert bound.spared() == [[(0, 0)], [(0, 1)]]


def test_what_is_read_after_it_was_written_is_read_there():
    def function(x):
        result = x.exp()
        return result.tanh(), result

    (read, tanh, result) = Bound(function, (3,)).spared()
    assert (read, tanh, sorted(result)) == ([(0, 0)], [(1, 1)], [(0, 1), (1, 0)])


def test_memory_that_is_used_for_something_else_is_not_the_input_any_more():
    bound = Bound(lambda x: x.exp().tanh().exp(), (3,))
    first, second, third = bound.steps
    # The result of the second step lies where the input was.
    for step, column in ((second, 1), (third, 0)):
        step.addresses[column] = first.addresses[0]
    assert bound.spared() == [[(0, 0)], [(2, 1)]]


def test_not_what_somebody_looks_at_later():
    bound = Bound(lambda x: x.exp(), (3,))
    assert bound.spared(lasting=[bound.arrays["x"]]) == [None, [(0, 1)]]
    assert bound.spared(lasting=bound.results) == [[(0, 0)], None]


def test_not_an_input_that_is_a_result():
    assert Bound(lambda x: (x, x.exp()), (3,)).spared() == [None, None, [(0, 1)]]


def test_not_two_results_in_one_place():
    def function(x):
        result = x.exp()
        return result, result.reshape(3, 1)

    assert Bound(function, (3,)).spared() == [[(0, 0)], None, None]


def test_not_what_a_guard_reads():
    target = convir.TensorType((4,), "int64")
    bound = Bound(lambda x, y: F.cross_entropy(x, y), (4, 3), target)
    assert bound.spared() == [None, None, None]


def net():
    convir.manual_seed(1)
    return nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Sigmoid())


MODELS = {
    "convolutions": (net(), (2, 5, 6)),
    "results among operands": (lambda x: (x, x.exp(), x.exp().tanh() * x), (7,)),
    "views": (lambda x: (x.reshape(-1, 6).exp(), x.tanh().flatten(1)), (2, 3)),
    "nothing in between": (lambda x: x, (4,)),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("options", [{}, {"wrt": ()}], ids=["training", "inference"])
def test_results_and_gradients_stay_the_same(name, options):
    model, shape = MODELS[name]
    x = draw(7, *shape)
    whole = convir.compile(model, x.shape, **options)
    tiled = convir.compile(model, x.shape, backend="numba", tile=3, threads=2, **options)
    for start in (x, x + 1):
        expected, found = whole(start), tiled(start)
        expected, found = (each if isinstance(each, tuple) else (each,) for each in (expected, found))
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
        if options:
            continue
        grads = [draw(*each.shape, seed=9) for each in expected]
        gradients = tiled.backward(*grads)
        for key, gradient in whole.backward(*grads).items():
            np.testing.assert_allclose(gradients[key], gradient, rtol=1e-4, atol=1e-5, err_msg=key)


@pytest.fixture
def turned():
    """Of the same shape as its operand, so that one can be the other; two lanes."""
    return convir.compile(lambda x: x.transpose(2, 1), (6, 5, 5), backend="numba", wrt=(), tile=2, threads=2)


def expected(x):
    return x.swapaxes(1, 2)


def test_operands_in_any_memory(turned):
    x = draw(6, 5, 5)
    shifted = np.frombuffer(b"." + x.tobytes(), "f4", offset=1).reshape(x.shape)
    assert not shifted.flags.aligned
    frozen = x.copy()
    frozen.flags.writeable = False
    backwards, spread = x[::-1], np.repeat(x, 2, axis=2)[:, :, ::2]
    for each in (x, shifted, frozen, backwards, spread, x.astype("f4", order="F")):
        np.testing.assert_array_equal(turned(each), expected(np.array(each)))


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_result_may_be_the_next_operand(backend):
    compiled = convir.compile(lambda x: x.transpose(2, 1), (6, 5, 5), backend=backend, wrt=(), tile=2, threads=1)
    x = draw(6, 5, 5)
    for view in (slice(None), slice(None, None, -1)):
        operand = compiled.run_forward(x)[0][view]
        before = operand.copy()
        np.testing.assert_array_equal(compiled.run_forward(operand)[0], expected(before))


def test_a_profile_does_not_touch_what_a_call_gave(turned):
    x = draw(6, 5, 5)
    before = x.copy()
    result = turned(x)
    x += 1
    turned.profile(x, repeats=1)
    turned(x)
    np.testing.assert_array_equal(result, expected(before))
