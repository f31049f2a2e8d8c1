"""Bias and activation after max pooling instead of before it: the same numbers from fewer elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.graphs import Bound, assert_close, assert_leaves, assert_rewrites, joint, random_values, results

import convir
from convir import TensorType
from convir.ir import Builder, Graph, ShapeError
from convir.ir.ops import Conv2d, MaxPool2d, MaxPool2dGrad, Relu, Sigmoid, Sum, Tanh, spatial_size
from convir.passes.sink_epilogue import SinkEpilogue

SINK, FOR_TRAINING = SinkEpilogue(), SinkEpilogue(for_training=True)
POOL = MaxPool2d((2, 2), kernel_size=(2, 2))


def convolved(activation: str | None = "relu", *, bias: bool = True):
    """A builder with a convolution, and its result."""
    builder = Builder("f")
    operands = [builder.input("x", TensorType((2, 1, 7, 6))), builder.param("w", TensorType((3, 1, 2, 3)))]
    operands += [builder.param("b", TensorType((3,)))] if bias else []
    return builder, builder.emit(Conv2d(activation=activation), *operands, name="conv")


def pooled(activation: str | None = "relu", *, bias: bool = True, pool: MaxPool2d = POOL) -> Graph:
    builder, y = convolved(activation, bias=bias)
    return builder.finish([builder.emit(pool, y, name="pool")], {})


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
def test_bias_and_activation_go_behind_the_pooling(activation):
    assert_rewrites(
        SINK,
        pooled(activation),
        f"""
        graph f(x: f32[2,1,7,6]) -> f32[2,3,3,2]:
          conv = conv2d(x, w, stride=(1, 1), padding=(0, 0)) : f32[2,3,6,4]
          pool = max_pool2d(conv, b, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), activation={activation}) \
: f32[2,3,3,2]
          return pool
        """,
    )


def test_a_bias_alone_goes_too():
    graph = SINK(pooled(None))
    assert [len(node.inputs) for node in graph.nodes] == [2, 2]
    assert graph.node("pool").op.activation is None


def test_for_training_the_result_goes_on_holding_the_maxima():
    assert_rewrites(
        FOR_TRAINING,
        pooled("relu"),
        """
        graph f(x: f32[2,1,7,6]) -> f32[2,3,3,2]:
          conv = conv2d(x, w, b, stride=(1, 1), padding=(0, 0)) : f32[2,3,6,4]
          pool = max_pool2d(conv, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), activation=relu) : f32[2,3,3,2]
          return pool
        """,
    )
    assert_leaves(FOR_TRAINING, pooled(None))


def test_sigmoid_hides_the_maxima_so_the_bias_goes_with_it():
    assert str(FOR_TRAINING(pooled("sigmoid"))) == str(SINK(pooled("sigmoid")))


@pytest.mark.parametrize("op", [Relu(), Sigmoid(), Tanh()], ids=lambda op: op.name)
def test_an_activation_of_anything_else(op):
    builder = Builder("f")
    x = builder.input("x", TensorType((1, 2, 4, 4)))
    assert_rewrites(
        FOR_TRAINING,
        builder.finish([builder.emit(POOL, builder.emit(op, x), name="pool")], {}),
        f"""
        graph f(x: f32[1,2,4,4]) -> f32[1,2,2,2]:
          pool = max_pool2d(x, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), activation={op.name}) : f32[1,2,2,2]
          return pool
        """,
    )


@pytest.mark.parametrize("output", [False, True])
def test_what_others_read_stays(output):
    builder, y = convolved()
    assert_leaves(SINK, builder.finish([builder.emit(POOL, y), y if output else builder.emit(Tanh(), y)], {}))


def test_nothing_to_move():
    assert_leaves(SINK, pooled(None, bias=False))
    builder = Builder("f")
    assert_leaves(SINK, builder.finish([builder.emit(POOL, builder.input("x", TensorType((1, 1, 4, 4))))], {}))


@pytest.mark.parametrize(
    "pool",
    [
        MaxPool2d((1, 1), (1, 1), kernel_size=(3, 3)),  # as many windows as pixels
        MaxPool2d((2, 2), kernel_size=(2, 2), activation="relu"),
        MaxPool2d((3, 3), (1, 1), (7, 5), kernel_size=(2, 2)),  # a window over padding alone
    ],
    ids=["no gain", "an epilogue of its own", "a window without a pixel"],
)
def test_poolings_that_keep_what_they_read(pool):
    assert_leaves(SINK, pooled(pool=pool))


def test_provenance_stays():
    graph = SINK(pooled())
    assert [(node.name, node.origin) for node in graph.nodes] == [("conv", "conv"), ("pool", "pool")]


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_relu_and_bias_commute_to_the_last_bit(scale, dtype):
    rng = np.random.default_rng(1)
    builder = Builder("f")
    x, b = builder.input("x", TensorType((2, 3, 9, 8), dtype)), builder.input("b", TensorType((3,), dtype))
    plain = builder.emit(MaxPool2d((2, 1), (1, 1), kernel_size=(2, 3)), x)
    fused = builder.emit(MaxPool2d((2, 1), (1, 1), kernel_size=(2, 3), activation="relu"), x, b)
    graph = builder.finish([plain, fused], {})
    image = (rng.standard_normal((2, 3, 9, 8)) * scale).astype(dtype)
    image[0, 0, 2, 3], image[1, 1, 4, 4], image[1, 2, 0, 0] = np.nan, np.inf, -np.inf
    bias = rng.standard_normal(3).astype(dtype)
    before, _ = results(graph, {"x": np.maximum(image + bias[:, None, None], 0), "b": bias})
    _, after = results(graph, {"x": image, "b": bias})
    np.testing.assert_array_equal(after, before)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(kernel=pairs, stride=pairs, dilation=pairs, size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
       ceil_mode=st.booleans(), data=st.data())  # fmt: skip
def test_windows_without_a_pixel_are_those_that_pool_to_minus_infinity(kernel, stride, dilation, size, ceil_mode, data):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    op = MaxPool2d(stride, padding, dilation, kernel, ceil_mode)
    image = TensorType((1, 1, *size))
    try:
        op.pooled(image)
    except ShapeError:
        return
    (y,) = convir.runtime.evaluate(op, [np.ones(image.shape, "f")])
    assert op.reads_padding_only(spatial_size(image, op.layout)) == np.isinf(y).any()


def net(activation: str) -> convir.nn.Module:
    nn = convir.nn
    act = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}[activation]
    pools = nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1)
    return nn.Sequential(nn.Conv2d(1, 3, 3), act(), pools[0], nn.Conv2d(3, 2, 2), act(), pools[1])


@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("options", [{}, {"conv": "naive", "pool": "naive"}], ids=["lowered", "naive"])
def test_answers_and_gradients_are_those_without_the_pass(activation, options):
    convir.manual_seed(3)
    model = net(activation).double()
    spec = TensorType((2, 1, 12, 11), "float64")
    without = [step for step in convir.pipeline(**options) if step.name != "sink_epilogue"]
    fast, slow = convir.compile(model, spec, **options), convir.compile(model, spec, passes=without)
    x = np.random.default_rng(0).standard_normal(spec.shape)
    y = fast(x)
    assert_close([y], [slow(x)], 1e-12)
    assert not any(node.op.name == activation for node in fast.graph.nodes)
    cotangent = np.random.default_rng(1).standard_normal(y.shape)
    assert_close([*fast.backward(cotangent).values()], [*slow.backward(cotangent).values()], 1e-12)
    inference = convir.compile(model, spec, inference=True, **options)
    assert_close([inference(x)], [y], 1e-12)


def test_the_bias_gradient_is_summed_from_the_windows():
    graph = joint(FOR_TRAINING(pooled("relu")))
    (total,) = [node for node in graph.nodes if isinstance(node.op, Sum)]
    assert total.name == "b.grad"
    assert total.inputs[0].type.shape == (2, 3, 3, 2)


def test_nan_takes_no_gradient():
    graph = pooled("relu")
    values = random_values(graph) | {"b": np.full(3, 5, "f")}
    values["x"][0, 0, 2, 2] = np.nan
    values["pool.grad"] = np.random.default_rng(4).standard_normal((2, 3, 3, 2)).astype("f")
    for transform in (SINK, FOR_TRAINING):
        found, expected = results(joint(transform(graph)), values), results(joint(graph), values)
        assert np.isnan(expected[0]).any()
        assert_close(found, expected, 1e-6)


def test_a_plain_pooling_keeps_its_sum_over_the_pixels():
    """Over NaN, the gradient of max pooling goes nowhere: the sum over the windows would be another."""
    graph = joint(pooled(None))
    (total,) = [node for node in graph.nodes if isinstance(node.op, Sum)]
    assert isinstance(graph.producers[total.inputs[0].name].op, MaxPool2dGrad)


def test_live_biases_are_read_where_they_are_added():
    graph = pooled("tanh").replace(bindings={"w": Bound(np.ones((3, 1, 2, 3), "f")), "b": Bound(np.zeros(3, "f"))})
    compiled = convir.compile(graph)
    x = np.zeros((2, 1, 7, 6), "f")
    assert not compiled(x).any()
    graph.bindings["b"].data[:] = [1, 2, 3]
    np.testing.assert_allclose(compiled(x)[0, :, 0, 0], np.tanh([1, 2, 3]), rtol=1e-6)
