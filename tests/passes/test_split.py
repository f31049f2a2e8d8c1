"""Forward and backward halves: what is kept, what is computed again, and that it makes no difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.graphs import assert_close, bind, interpret, joint, random_values, results, text
from support.random_graphs import random_graphs

import convir
from convir import TensorType
from convir.compiler import build, pipeline
from convir.ir import Builder, Graph, verify
from convir.ir.ops import DropoutMask, MatMul, Mul, Neg, Relu, Sigmoid, Tanh
from convir.passes.split import Split, split


def halves(graph: Graph) -> tuple[Graph, Split]:
    """The joint graph, and what it is divided into."""
    whole = joint(graph)
    cotangents = [value.name for value in whole.inputs[len(graph.inputs) :]]
    made = split(whole, len(graph.outputs), cotangents)
    for half in (made.forward, made.backward):
        verify(half, after="split")
    return whole, made


def run_halves(graph: Graph, made: Split, values: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Outputs and gradients, the backward seeing only what was kept."""
    forward = interpret(made.forward, values)
    kept = {value.name: forward[value.name] for value in made.kept}
    own = {value.name for value in (*made.backward.inputs, *made.backward.params)}
    backward = results(made.backward, {name: v for name, v in {**values, **kept}.items() if name in own})
    return [forward[value.name] for value in graph.outputs] + backward


def bytes_of(values) -> int:
    return sum(value.type.nbytes for value in values)


def read_by_backward(whole: Graph, graph: Graph):
    """The naive choice: keep all that the backward reads of the forward."""
    late = {value.name for value in whole.inputs[len(graph.inputs) :]}
    read = {}
    for node in whole.nodes:
        if any(value.name in late for value in node.inputs):
            late.update(value.name for value in node.outputs)
    outside = late | {value.name for value in whole.params} | constants(whole)
    for node in whole.nodes:
        if node.name in late:
            read |= {value.name: value for value in node.inputs if value.name not in outside}
    return read.values()


def constants(graph: Graph) -> set[str]:
    return {node.name for node in graph.nodes if node.op.kind == "constant"}


def mlp(activation) -> Graph:
    builder = Builder("mlp")
    x = builder.input("x", TensorType((3, 4)))
    hidden = builder.emit(MatMul(), x, builder.param("w", TensorType((4, 5))), name="hidden")
    y = builder.emit(activation, hidden, name="act")
    return bind(builder.finish([builder.emit(MatMul(), y, builder.param("v", TensorType((5, 2))), name="y")], {}))


def test_the_backward_reads_what_was_kept_and_the_cotangents():
    _, made = halves(mlp(Relu()))
    assert [value.name for value in made.kept] == ["x", "act"]
    assert (
        text(made.backward)
        .splitlines()[0]
        .startswith("graph mlp.backward(x: f32[3,4], act: f32[3,5], y.grad: f32[3,2]) ->")
    )
    assert made.forward.outputs == (made.forward.node("y").outputs[0], *made.kept)


def test_cheap_results_are_computed_again_from_the_smallest_source():
    builder = Builder("wide")
    x = builder.input("x", TensorType((3, 1)))
    wide = builder.emit(Mul(), x, builder.param("scale", TensorType((3, 50))), name="wide")
    y = builder.emit(Tanh(), builder.emit(Sigmoid(), wide, name="s"), name="t")
    graph = bind(builder.finish([builder.emit(MatMul(transpose_b=True), y, y, name="out")], {}))
    whole, made = halves(graph)
    assert [value.name for value in made.kept] == ["x"]
    again = [node.name for node in made.backward.nodes if node.name.endswith(".again")]
    assert again == ["wide.again", "s.again", "t.again"]
    values = random_values(whole)
    assert_close(run_halves(graph, made, values), results(whole, values), 1e-6)


def test_among_equals_nothing_is_computed_again():
    builder = Builder("equal")
    x = builder.input("x", TensorType((8,)))
    y = builder.emit(Neg(), x, name="n")
    graph = builder.finish([builder.emit(Tanh(), y, name="t")], {})
    _, made = halves(graph)
    assert [value.name for value in made.kept] == ["t"]
    assert not any(node.name.endswith(".again") for node in made.backward.nodes)


def test_matrix_products_are_never_computed_again():
    _, made = halves(mlp(Tanh()))
    products = [node for node in made.backward.nodes if isinstance(node.op, MatMul) and node.name.endswith(".again")]
    assert not products


def test_masks_are_never_drawn_again():
    builder = Builder("dropout")
    x = builder.input("x", TensorType((4, 100)))
    mask = builder.emit(DropoutMask(0.5), x, name="mask")
    graph = builder.finish([builder.emit(Mul(), builder.emit(Sigmoid(), x), mask, name="y")], {})
    _, made = halves(graph)
    assert "mask" in [value.name for value in made.kept]
    assert not any(isinstance(node.op, DropoutMask) for node in made.backward.nodes)


def test_gradients_see_the_mask_of_the_forward():
    compiled = convir.compile(convir.nn.Dropout(0.4), (50, 40))
    y = compiled(np.ones((50, 40), "f"))
    gradient = compiled.backward(np.ones((50, 40), "f"))["input"]
    np.testing.assert_array_equal(gradient, y)
    assert 0.3 < np.mean(y == 0) < 0.5
    np.testing.assert_allclose(y[y != 0], 1 / 0.6, rtol=1e-6)


def test_recomputed_names_give_way_to_names_in_use():
    builder = Builder("names")
    x = builder.input("x", TensorType((3, 1)))
    wide = builder.emit(Mul(), x, builder.param("scale", TensorType((3, 50))), name="wide")
    taken = builder.emit(Relu(), builder.emit(Neg(), x), name="wide.again")
    y = builder.emit(MatMul(transpose_b=True), wide, wide)
    graph = bind(builder.finish([y, taken], {}))
    whole, made = halves(graph)
    assert "wide.again.again" in {node.name for node in made.backward.nodes}
    names = {node.name for node in made.forward.nodes} & {node.name for node in made.backward.nodes}
    assert not names
    values = random_values(whole)
    assert_close(run_halves(graph, made, values), results(whole, values), 1e-6)


@given(random_graphs())
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_random_graphs_have_the_same_gradients_when_split(graph):
    whole, made = halves(graph)
    values = random_values(whole)
    assert_close(run_halves(graph, made, values), results(whole, values), 1e-12)
    assert bytes_of(made.kept) <= bytes_of(read_by_backward(whole, graph))


@pytest.mark.parametrize("model", ["lenet5", "digits_cnn", "mlp"])
def test_the_zoo_keeps_no_more_than_the_backward_reads(model):
    entry = convir.zoo.MODELS[model]
    graph = convir.trace(entry.factory(), (4, *entry.input_shape[1:]))
    whole, made = halves(graph)
    assert bytes_of(made.kept) <= bytes_of(read_by_backward(whole, graph))


def test_a_patch_matrix_is_made_again_rather_than_kept():
    program = build(convir.trace(convir.zoo.lenet5(), (4, 1, 28, 28)), pipeline())
    kept = {value.name for value in program.forward.outputs}
    assert not any("im2col" in name for name in kept)
    assert "conv2.im2col.again" in {node.name for node in program.backward.nodes}


def long_chain(length: int) -> Graph:
    builder = Builder("chain")
    value = builder.input("x", TensorType((8,), "float64"))
    for index in range(length):
        value = builder.emit(Neg() if index % 3 == 1 else Tanh(), value)
    return builder.finish([value], {})


@pytest.mark.slow
def test_a_chain_of_3000_nodes_compiles_and_runs():
    compiled = convir.compile(long_chain(3000))
    x = np.linspace(-1, 1, 8)
    y = compiled(x)
    gradient = compiled.backward(np.ones(8))["x"]
    expected, slope = x, np.ones(8)
    for index in range(3000):
        if index % 3 == 1:
            expected, slope = -expected, -slope
        else:
            expected = np.tanh(expected)
            slope = slope * (1 - expected**2)
    assert slope.min() > 1e-6
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(gradient, slope, rtol=1e-9)
