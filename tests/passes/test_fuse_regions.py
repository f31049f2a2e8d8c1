"""Fusing into regions: what is grouped, what is left alone, and the same results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from support.graphs import random_values
from support.random_graphs import random_graphs

import convir
from convir import nn, zoo
from convir.compiler import pipeline
from convir.ir import Builder, Graph, TensorType, verify
from convir.ir.ops import Add, Conv2dDirect, MatMul, MaxPool2dTaps, Mul, Neg, Region, Relu, Reshape
from convir.passes.fuse_regions import FuseRegions

POOL = MaxPool2dTaps((2, 2), kernel_size=(2, 2), layout="CHWN")


def text(graph: Graph) -> list[str]:
    return [line.strip() for line in str(graph).splitlines()]


def test_a_convolution_takes_its_pooling_in_and_what_follows():
    builder = Builder("net")
    image = builder.input("x", TensorType((2, 6, 6, 8)))
    weight, bias = builder.input("w", TensorType((4, 2, 3, 3))), builder.input("b", TensorType((4,)))
    conv = builder.emit(Conv2dDirect(), image, weight, bias, name="conv")
    pooled = builder.emit(POOL, conv, name="pool")
    graph = FuseRegions()(builder.finish([builder.emit(Neg(), pooled, name="y")], {}))
    verify(graph)
    assert text(graph) == [
        "graph net(x: f32[2,6,6,8], w: f32[4,2,3,3], b: f32[4]) -> f32[4,2,2,8]:",
        "y = region(x, w, b, body=conv2d_direct > max_pool2d_taps > neg) : f32[4,2,2,8]   # <- fuse_regions",
        "| conv2d_direct = conv2d_direct(input, weight, bias, stride=(1, 1)) : f32[4,4,4,8]",
        "| max_pool2d_taps = max_pool2d_taps(conv2d_direct, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), "
        "layout=CHWN) : f32[4,2,2,8]",
        "| neg = neg(max_pool2d_taps) : f32[4,2,2,8]",
        "| return neg",
        "return y",
    ]
    assert graph.nodes[0].origin == "conv"


def test_a_residual_is_added_where_the_product_is():
    builder = Builder("net")
    a, b, skip = (builder.input(name, TensorType((4, 4))) for name in "abs")
    product = builder.emit(MatMul(), a, b)
    graph = FuseRegions()(builder.finish([builder.emit(Relu(), builder.emit(Add(), skip, product))], {}))
    (node,) = graph.nodes
    assert isinstance(node.op, Region)
    assert [inner.op.name for inner in node.op.body.nodes] == ["matmul", "add", "relu"]
    assert {value.name for value in node.inputs} == {"a", "b", "s"}


def test_what_others_read_stays():
    builder = Builder("net")
    a, b = builder.input("a", TensorType((4, 4))), builder.input("b", TensorType((4, 4)))
    product = builder.emit(MatMul(), a, b)
    negated, doubled = builder.emit(Neg(), product), builder.emit(Add(), product, product)
    graph = builder.finish([negated, doubled], {})
    assert FuseRegions()(graph) == graph


def test_a_result_of_the_graph_stays():
    builder = Builder("net")
    a, b = builder.input("a", TensorType((4, 4))), builder.input("b", TensorType((4, 4)))
    product = builder.emit(MatMul(), a, b)
    graph = builder.finish([product, builder.emit(Neg(), product)], {})
    assert FuseRegions()(graph) == graph


def test_a_view_comes_along_in_the_middle_and_stays_outside_at_the_end():
    builder = Builder("net")
    a, b = builder.input("a", TensorType((4, 4))), builder.input("b", TensorType((4, 4)))
    flat = builder.emit(Reshape((16,)), builder.emit(MatMul(), a, b))
    negated = builder.emit(Neg(), flat)
    graph = FuseRegions()(builder.finish([builder.emit(Reshape((2, 8)), negated)], {}))
    assert [node.op.name for node in graph.nodes] == ["region", "reshape"]
    alone = Builder("alone")
    c = alone.input("c", TensorType((4, 4)))
    kept = alone.finish([alone.emit(Reshape((16,)), alone.emit(Neg(), c))], {})
    assert FuseRegions()(kept) == kept


def test_equal_regions_have_equal_bodies():
    builder = Builder("net")
    x, w = builder.input("x", TensorType((4, 4))), builder.input("w", TensorType((4, 4)))
    first = builder.emit(Relu(), builder.emit(MatMul(), w, x, name="one"), name="two")
    second = builder.emit(Relu(), builder.emit(MatMul(), w, first, name="three"), name="four")
    graph = FuseRegions()(builder.finish([second], {}))
    one, other = graph.nodes
    assert one.op == other.op


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(random_graphs())
def test_random_graphs_compute_the_same(graph):
    inputs = [random_values(graph)[value.name] for value in graph.inputs]
    plain = convir.compile(graph, passes=pipeline(conv="direct", wrt=()))(*inputs)
    fused = convir.compile(graph, passes=[*pipeline(conv="direct", wrt=()), FuseRegions()])(*inputs)
    assert isinstance(plain, tuple) == isinstance(fused, tuple)
    pairs = zip(plain, fused, strict=True) if isinstance(plain, tuple) else [(plain, fused)]
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


class Residual(nn.Module):
    """A block that adds what it was given."""

    def __init__(self) -> None:
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return nn.functional.relu(self.conv(x) + x)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (zoo.lenet5(), (3, 1, 28, 28)),
        (zoo.digits_cnn(), (4, 1, 8, 8)),
        (nn.Sequential(Residual(), Residual()), (2, 4, 6, 5)),
    ],
)
def test_models_compute_the_same_forward_and_backward(model, shape):
    x = np.random.default_rng(0).standard_normal(shape).astype("f")
    plain = convir.compile(model.eval(), shape, passes=pipeline(conv="direct"))
    fused = convir.compile(model, shape, passes=[*pipeline(conv="direct"), FuseRegions()])
    assert "region" in {node.op.name for node in (*fused.graph.nodes, *fused.backward_graph.nodes)}
    y = plain(x)
    np.testing.assert_allclose(fused(x), y, rtol=1e-5, atol=1e-5)
    expected, found = plain.backward(np.ones_like(y)), fused.backward(np.ones_like(y))
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[name], gradient, rtol=1e-4, atol=1e-4, err_msg=name)


def test_a_body_without_parameters_of_its_own():
    builder = Builder("body")
    x, w = builder.input("x", TensorType((2,))), builder.param("w", TensorType((2,)))
    with pytest.raises(convir.ShapeError, match=r"region: the body of a region has no parameters of its own, got w"):
        Region(builder.finish([builder.emit(Mul(), x, w)], {}))


def test_operands_are_those_of_the_body():
    builder = Builder("body")
    x = builder.input("x", TensorType((2,)))
    region = Region(builder.finish([builder.emit(Neg(), x)], {}))
    with pytest.raises(convir.ShapeError, match=r"takes operands f32\[2\], got f32\[3\]"):
        region.infer(TensorType((3,)))
