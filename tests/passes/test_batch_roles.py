"""Which graphs run in batch tiles, and what their values are then: checked by running them so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from support.graphs import bind, graph_of, joint, random_values
from support.random_graphs import random_graphs
from support.tiles import assert_independent, assert_tiles, holds, spans, tileable_part

import convir
from convir import ConvirError, ShapeError, TensorType, UnsupportedError, nn, zoo
from convir.ir import Builder, Graph
from convir.ir.ops import Add, BroadcastTo, Conv2d, CrossEntropyGrad, Mul, Relu, Sum
from convir.passes.batch import PartialMean, PartialSum, PerSample, Whole, batch_roles
from convir.passes.lower_pool import LowerPool

_IMAGES = [(5, 2, 4, 3), (5, 1, 3, 3), (2, 2, 4, 3), (3, 3, 3, 3), (1, 1, 1, 1), (5, 5)]


def traced(function, *shapes: tuple[int, ...]) -> Graph:
    return convir.trace(function, *(TensorType(shape, "float64") for shape in shapes))


def sizes_of(batch: int, first: int) -> list[int]:
    """Uneven tiles."""
    first = min(first, batch)
    return [first, *([1] if batch - first else []), *([batch - first - 1] if batch - first > 1 else [])]


def check(graph: Graph, *outputs: object, per_sample: list[str] | None = None) -> None:
    """The outputs have these roles, and all values are what theirs say, in tiles and with a sample changed."""
    roles = batch_roles(graph, per_sample)
    assert roles.outputs == outputs
    given = random_values(graph)
    assert_tiles(graph, roles, given, sizes_of(roles.batch, 2))
    assert_independent(graph, roles, given, roles.batch - 1)


@drawn(random_graphs(images=_IMAGES, most=14), st.integers(1, 4), st.integers(0, 4))
@settings(max_examples=150, deadline=None)
def test_what_is_not_refused_of_a_random_graph_is_so(graph, first, sample):
    part = tileable_part(graph)
    roles, given = batch_roles(part), random_values(part)
    assert_tiles(part, roles, given, sizes_of(roles.batch, first))
    assert_independent(part, roles, given, sample % roles.batch)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_the_zoo_runs_in_tiles(name):
    entry = zoo.MODELS[name]
    model = entry.factory().to("float64")

    def logits_and_loss(x, target):
        y = model(x)
        return y, nn.functional.cross_entropy(y, target)

    graph = convir.trace(logits_and_loss, TensorType((5, *entry.input_shape[1:]), "float64"), TensorType((5,), "int64"))
    roles = batch_roles(graph).outputs
    assert roles == (PerSample(0), PartialMean())
    # Compiled, because the model ops are explicit loops.
    run = convir.compile(graph, inference=True)
    arrays = [random_values(graph)[value.name] for value in graph.inputs]
    whole = [np.copy(y) for y in run(*arrays)]
    tiles = [[np.copy(y) for y in run(*(a[start:stop] for a in arrays))] for start, stop in spans((2, 2, 1))]
    for i, role in enumerate(roles):
        assert holds(role, whole[i], [tile[i] for tile in tiles], (2, 2, 1))


def test_gradients_of_weights_are_sums_over_the_batch():
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 1)).to("float64")
    backward = joint(traced(model, (5, 2, 6, 5)))
    parameters = [PartialSum() for _ in model.state_dict()]
    check(backward, PerSample(0), *parameters, PerSample(0))


def test_lowered_poolings_have_the_batch_where_their_layout_has_it():
    graph = LowerPool()(bind(traced(lambda x: nn.functional.max_pool2d(x, 2), (5, 2, 4, 4))))
    assert any(node.op.name == "max_pool2d_taps" for node in graph.nodes)
    check(graph, PerSample(0))
    pooled = next(node for node in graph.nodes if node.op.name == "max_pool2d_taps")
    assert batch_roles(graph).of[pooled.name] == PerSample(pooled.op.layout.index("N"))


RUNS = {
    "transposed": (lambda x: x.T, PerSample(1)),
    "column sums of columns": (lambda x: x.T.sum(1), PartialSum()),
    "gram matrix": (lambda x: x.T @ x, PartialSum()),
    "sum less sum": (lambda x: x.sum(0) - (x * x).sum(0), PartialSum()),
    "sum scaled": (lambda x: -x.sum(0) * 0.5 / 3, PartialSum()),
    "sum over all": (lambda x: x.sum(), PartialSum()),
    "mean over all": (lambda x: (x * x).mean(), PartialMean()),
    "mean and an offset": (lambda x: 1 - 2 * x.mean(0), PartialMean()),
    "mean of sums": (lambda x: x.sum(1).mean(0), PartialMean()),
    "sum of means": (lambda x: x.mean(1).sum(0), PartialSum()),
    "mean of a mean": (lambda x: x.mean(0).mean(0), PartialMean()),
    "softmax": (lambda x: x.exp() / x.exp().sum(1, keepdim=True), PerSample(0)),
    "squared error": (lambda x: nn.functional.mse_loss(x, x * 2), PartialMean()),
    "reshaped": (lambda x: x.reshape(x.shape[0], 2, -1).flatten(1), PerSample(0)),
    "an axis before": (lambda x: x.unsqueeze(0).relu(), PerSample(1)),
}


@pytest.mark.parametrize("batch", [5, 4, 1])
@pytest.mark.parametrize(("function", "role"), RUNS.values(), ids=RUNS.keys())
def test_runs_in_tiles(function, role, batch):
    check(traced(function, (batch, 4)), role)


REFUSED = {
    "product of samples": (lambda x: x @ x.T, "matmul", "every sample meets every other one"),
    "sum with the transposed": (lambda x: x + x.T, "add", "axis 0 of the result by its operand a, and axis 1"),
    "less the mean": (lambda x: x - x.mean(0), "sub", "its operand b, a mean over the batch, which is known only"),
    "batch statistics": (lambda x: (x - x.mean(0)) / (x * x).mean(0).sqrt(), "sub", "a mean over the batch"),
    "root of a sum": (lambda x: x.sum(0).sqrt(), "sqrt", "computes on from its operand input, a sum over the batch"),
    "square of a sum": (lambda x: x.sum(0) * x.sum(0), "mul", r"its operand \w, a sum over the batch"),
    "divided by a sum": (lambda x: 1 / x.sum(0), "div", "its operand b, a sum over the batch"),
    "sum and an offset": (lambda x: x.sum(0) + 1, "add", "its operand b does not depend on the samples"),
    "sum and a mean": (lambda x: x.sum(0) + x.mean(0), "add", "a sum over the batch and a mean over the batch"),
    "largest sample": (lambda x: x.amax(0), "max", "it mixes slices along axis 0 of its operand input"),
    "softmax over samples": (lambda x: x.exp() / x.exp().sum(0), "div", "its operand b, a sum over the batch"),
    "samples flattened": (lambda x: x.reshape(-1), "reshape", r"axis 0 of f64\[4,4\], is not an axis of its own"),
    "samples flattened behind": (lambda x: x.flatten(), "flatten", "is not an axis of its own"),
    "literal batch": (lambda x: x.reshape(4, 2, 2), "reshape", "its shape fits a batch of 4 only"),
    "dropout": (lambda x: nn.functional.dropout(x), "dropout_mask", "draws from one generator"),
    "convolved across": (
        lambda x: nn.functional.avg_pool2d(x.reshape(1, 1, -1, 4), 2),
        "avg_pool2d",
        "it mixes slices along axis 2 of its operand input, which is the batch",
    ),
}


@pytest.mark.parametrize(("function", "op", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_is_refused_with_the_place_and_the_reason(function, op, reason):
    place = rf"{op} \(test_batch_roles.py:\d+\): \w+ cannot be computed in batch tiles: .*"
    with pytest.raises(UnsupportedError, match=place + reason):
        batch_roles(traced(function, (4, 4)))


def test_the_first_node_that_mixes_is_named_with_its_module():
    class Centre(nn.Module):
        def forward(self, x):
            return x.sum(0).relu().sqrt()

    graph = convir.trace(nn.Sequential(nn.Linear(4, 4), Centre()), (4, 4))
    with pytest.raises(UnsupportedError, match=r"^relu at 1 \(test_batch_roles.py:\d+\): relu cannot be"):
        batch_roles(graph)


@pytest.mark.parametrize("op", [Add(), Mul()])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_parameter_with_a_row_for_each_sample_is_refused(op, swapped):
    builder = Builder("rows")
    x, table = builder.input("x", TensorType((4, 3))), builder.param("table", TensorType((4, 3)))
    graph = builder.finish([builder.emit(op, *((table, x) if swapped else (x, table)))], {})
    label = "a" if swapped else "b"
    with pytest.raises(UnsupportedError, match=f"its operand {label} is the same in every tile and has size 4"):
        batch_roles(graph)


def test_a_parameter_that_broadcasts_over_the_batch_is_not():
    builder = Builder("rows")
    x, row = builder.input("x", TensorType((4, 3), "float64")), builder.param("row", TensorType((1, 3), "float64"))
    check(bind(builder.finish([builder.emit(Add(), x, row)], {})), PerSample(0))


def test_broadcasting_to_numbers_fits_one_batch():
    with pytest.raises(UnsupportedError, match=r"it should make f32\[2,1,3\] of 1 sample, but makes f32\[2,4,3\]"):
        batch_roles(graph_of(BroadcastTo((2, 4, 3)), (4, 3)))


@pytest.mark.parametrize("batch", [1, 4])
def test_the_gradient_of_a_mean_loss_divides_by_the_batch(batch):
    graph = graph_of(CrossEntropyGrad(), (), (batch, 3), TensorType((batch,), "int64"))
    with pytest.raises(UnsupportedError, match="divides by the number of samples, and a tile would divide by its own"):
        batch_roles(graph)


def test_a_patch_matrix_has_no_batch_axis():
    graph = convir.compile(nn.Conv2d(1, 2, 2), (4, 1, 3, 3), conv="im2col").graph
    with pytest.raises(UnsupportedError, match="samples and window positions along one axis; ask for the graph before"):
        batch_roles(graph)


def test_code_that_computed_with_the_batch_is_refused_with_its_line():
    for function in (lambda x: x.sum(0) / x.shape[0], lambda x: x.T * float(x.T.shape[1])):
        with pytest.raises(UnsupportedError, match=r"number of samples.* \(test_batch_roles.py:\d+\), which was 4"):
            batch_roles(traced(function, (4, 3)))


def test_code_that_computed_with_another_size_runs():
    check(traced(lambda x: x.sum(1) / x.shape[1], (4, 3)), PerSample(0))


def test_inputs_with_as_many_rows_as_the_first_are_the_batch():
    graph = traced(lambda a, x, table: (x @ table) * a, (), (4, 3), (3, 2))
    roles = batch_roles(graph)
    assert roles.batch == 4
    assert [roles.of[name] for name in ("a", "x", "table")] == [Whole(), PerSample(0), Whole()]
    check(graph, PerSample(0))


def test_an_input_with_as_many_rows_by_chance_can_be_left_out():
    graph = traced(lambda x, table: x @ table, (3, 3), (3, 3))
    with pytest.raises(UnsupportedError, match="the batch is axis 0 of the result by its operand a, and summed over"):
        batch_roles(graph)
    check(graph, PerSample(0), per_sample=["x"])


def test_what_does_not_depend_on_the_batch_is_whole():
    graph = traced(lambda x, table: (x.relu(), table.amax(0)), (4, 3), (2, 2))
    check(graph, PerSample(0), Whole())


BAD_NAMES = {
    "unknown": (["z"], ConvirError, r"list of inputs of graph one, got 'z'; it has a, b"),
    "a string": ("a", ConvirError, r"list of inputs of graph one, got 'a'; it has a, b"),
    "none": ([], ConvirError, r"got no name; it has a, b"),
    "other rows": (["a", "b"], ShapeError, r"equally many rows, got a: f32\[2,3\], b: f32\[3\]"),
}


@pytest.mark.parametrize(("names", "error", "message"), BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_names_that_are_no_batch_are_refused(names, error, message):
    with pytest.raises(error, match=message):
        batch_roles(graph_of(Add(), (2, 3), (3,)), names)


def test_a_scalar_has_no_batch():
    with pytest.raises(ShapeError, match=r"equally many rows, got input: f32\[\]"):
        batch_roles(graph_of(Relu(), ()), ["input"])
    with pytest.raises(UnsupportedError, match="graph one has no input with a batch axis, so there is nothing to tile"):
        batch_roles(graph_of(Relu(), ()))


def test_an_op_of_ones_own_is_refused():
    class Own(Relu):
        name = "test_batch_own"

    with pytest.raises(UnsupportedError, match=r"test_batch_own: y cannot .* no batch rule is registered for it"):
        batch_roles(graph_of(Own(), (4, 3)))


def test_a_batch_of_one_is_judged_as_any_other():
    with pytest.raises(UnsupportedError, match="cannot be computed in batch tiles"):
        batch_roles(graph_of(BroadcastTo((3, 4)), (1, 4)))
    with pytest.raises(UnsupportedError, match="is not an axis of its own"):
        batch_roles(traced(lambda x: x.flatten(), (1, 4)))
    assert batch_roles(graph_of(Sum((0,)), (1, 3))).outputs == (PartialSum(),)
    assert batch_roles(graph_of(Conv2d(), (1, 1, 2, 2), (1, 1, 2, 2)), ["input"]).outputs == (PerSample(0),)
