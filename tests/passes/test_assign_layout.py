"""Transposes sink until they cancel; what is computed stays the same."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import assert_close, assert_leaves, assert_rewrites, joint, random_values, results

import convir
from convir import TensorType, zoo
from convir.ir import Builder, Graph, Op, verify
from convir.ir.ops import (
    CHWN,
    NCHW,
    Add,
    AvgPool2dTaps,
    BroadcastTo,
    Crop2d,
    Max,
    MaxGrad,
    MaxPool2d,
    MaxPool2dTaps,
    Mean,
    Mul,
    Pad2d,
    Relu,
    ReluGrad,
    Sub,
    Sum,
    Tanh,
    Transpose,
    permutation,
)
from convir.passes.assign_layout import AssignLayout
from convir.passes.lower_conv import LowerConv
from convir.passes.lower_pool import LowerPool

ASSIGN = AssignLayout()
TO_NCHW = permutation(CHWN, NCHW)


def transposed(shape=(2, 3, 4, 5), order=TO_NCHW):
    """A builder with an input and its transpose."""
    builder = Builder("f")
    return builder, builder.emit(Transpose(order), builder.input("x", TensorType(shape)), name="t")


def check(graph: Graph) -> Graph:
    """The pass keeps the graph valid and its results; returns it."""
    after = ASSIGN(graph)
    verify(after)
    values = random_values(graph)
    assert_close(results(after, values), results(graph, values), 1e-6)
    return after


def ops(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes]


def test_a_transpose_sinks_through_an_activation():
    builder, t = transposed()
    assert_rewrites(
        ASSIGN,
        builder.finish([builder.emit(Relu(), t, name="y")], {}),
        """
        graph f(x: f32[2,3,4,5]) -> f32[5,2,3,4]:
          y = relu(x) : f32[2,3,4,5]
          y.transpose = transpose(y, permutation=(3, 0, 1, 2)) : f32[5,2,3,4]
          return y.transpose
        """,
    )


def test_opposite_transposes_cancel():
    builder, t = transposed()
    y = builder.emit(Transpose(permutation(NCHW, CHWN)), builder.emit(Tanh(), t), name="y")
    graph = check(builder.finish([y], {}))
    assert ops(graph) == ["tanh"]


def test_two_transposes_become_one():
    builder, t = transposed(order=(1, 0, 2, 3))
    graph = check(builder.finish([builder.emit(Transpose((0, 2, 1, 3)), t)], {}))
    assert [node.op.permutation for node in graph.nodes] == [(1, 2, 0, 3)]


@pytest.mark.parametrize(
    ("shape", "order"), [((3, 4, 1, 5), (0, 2, 1, 3)), ((1, 3, 4, 5), (1, 2, 3, 0)), ((1, 1, 1, 1), TO_NCHW)]
)
def test_moving_axes_of_length_one_is_a_view(shape, order):
    builder, t = transposed(shape, order)
    assert ops(check(builder.finish([t], {}))) == ([] if set(shape) == {1} else ["reshape"])


def test_a_transpose_that_moves_nothing_goes():
    builder, t = transposed(order=(0, 1, 2, 3))
    assert ops(check(builder.finish([builder.emit(Relu(), t)], {}))) == ["relu"]


@pytest.mark.parametrize("op", [Add(), Sub(), Mul(), ReluGrad()], ids=lambda op: op.name)
def test_two_operands_in_one_layout_stay_in_it(op):
    builder, t = transposed()
    other = builder.emit(Transpose(TO_NCHW), builder.input("z", TensorType((2, 3, 4, 5))))
    assert ops(check(builder.finish([builder.emit(op, t, other)], {}))) == [op.name, "transpose"]


@pytest.mark.parametrize("swap", [False, True])
def test_an_operand_in_another_layout_gets_a_transpose_of_its_own(swap):
    builder, t = transposed()
    operands = [t, builder.input("z", t.type)]
    graph = check(builder.finish([builder.emit(Sub(), *(operands[::-1] if swap else operands))], {}))
    assert ops(graph) == ["transpose", "sub", "transpose"]


def test_operands_transposed_in_different_ways():
    builder, t = transposed((2, 3, 4, 5), (3, 0, 1, 2))
    other = builder.emit(Transpose((1, 0, 2, 3)), builder.input("z", TensorType((2, 5, 3, 4))))
    check(builder.finish([builder.emit(Sub(), t, other)], {}))


def test_scalars_have_no_layout():
    builder, t = transposed()
    graph = check(builder.finish([builder.emit(Sub(), builder.input("s", TensorType(())), t)], {}))
    assert ops(graph) == ["sub", "transpose"]


@pytest.mark.parametrize("shape", [(4,), (1, 1, 1, 4), (2, 1, 1), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("swap", [False, True])
def test_what_broadcasts_is_reshaped_where_that_is_a_view(shape, swap):
    builder, t = transposed()
    operands = [t, builder.input("z", TensorType(shape))]
    graph = check(builder.finish([builder.emit(Sub(), *(operands[::-1] if swap else operands), name="y")], {}))
    assert ops(graph) == ["reshape", "sub", "transpose"]
    assert graph.node("y").outputs[0].type.shape == (2, 3, 4, 5)


def test_a_transpose_does_not_sink_where_what_broadcasts_would_have_to_move():
    builder, t = transposed()
    small = builder.input("z", TensorType((5, 2, 1, 1)))
    assert_leaves(ASSIGN, builder.finish([builder.emit(Add(), t, small)], {}))


def test_what_broadcasts_in_the_same_transpose_comes_along():
    builder, t = transposed()
    small = builder.emit(Transpose(TO_NCHW), builder.input("z", TensorType((2, 1, 1, 5))))
    assert ops(check(builder.finish([builder.emit(Add(), small, t)], {}))) == ["add", "transpose"]


def test_repeating_follows_the_layout_too():
    builder, t = transposed()
    many = builder.emit(BroadcastTo((5, 2, 3, 4)), builder.input("z", TensorType((3, 1))))
    assert ops(check(builder.finish([builder.emit(Mul(), t, many)], {}))) == [
        "reshape",
        "broadcast_to",
        "mul",
        "transpose",
    ]


def test_what_is_repeated_over_inner_axes_is_transposed_whole():
    builder, t = transposed()
    many = builder.emit(BroadcastTo((5, 2, 3, 4)), builder.input("z", TensorType((5, 2, 1, 1))))
    graph = check(builder.finish([builder.emit(Mul(), t, many)], {}))
    assert ops(graph) == ["broadcast_to", "transpose", "mul", "transpose"]


@pytest.mark.parametrize("op", [Sum, Mean, Max], ids=lambda op: op.name)
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(), (0,), (1,), (0, 2, 3), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("order", [TO_NCHW, (1, 3, 0, 2)], ids=str)
def test_reductions_follow_their_axes(op, keepdims, axes, order):
    builder, t = transposed(order=order)
    graph = check(builder.finish([builder.emit(op(axes, keepdims), t, name="y")], {}))
    assert not isinstance(graph.nodes[0].op, Transpose)


@pytest.mark.parametrize(
    "op",
    [
        MaxPool2dTaps((2, 1), (1, 0), kernel_size=(2, 3)),
        AvgPool2dTaps((1, 2), (0, 1), kernel_size=(2, 2), count_include_pad=False),
        Pad2d(((1, 2), (0, 3)), value=2.0),
        Crop2d(((1, 0), (2, 1))),
    ],
    ids=lambda op: op.name,
)
def test_spatial_ops_take_the_layout_of_what_they_read(op: Op):
    builder, t = transposed()
    graph = check(joint(builder.finish([builder.emit(op, t, name="y")], {})))
    assert graph.node("y").op.layout == CHWN


@pytest.mark.parametrize("order", [(0, 1, 3, 2), (3, 1, 0, 2)])
def test_spatial_ops_know_two_layouts_only(order):
    builder, t = transposed(order=order)
    graph = builder.finish([builder.emit(MaxPool2dTaps(kernel_size=(2, 2)), t)], {})
    assert_leaves(ASSIGN, graph)


def test_the_models_own_pooling_stays_as_it_is():
    builder, t = transposed()
    assert_leaves(ASSIGN, builder.finish([builder.emit(MaxPool2d(kernel_size=(2, 2)), t)], {}))


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axes", [(0,), (1, 3), (0, 1, 2, 3)], ids=str)
def test_the_gradient_of_a_maximum_follows_its_axes(axes, keepdims):
    builder, t = transposed()
    y = builder.emit(Max(axes, keepdims), t)
    graph = check(joint(builder.finish([y], {}), "x"))
    (node,) = [node for node in graph.nodes if isinstance(node.op, MaxGrad)]
    assert node.outputs[0].type.shape == (2, 3, 4, 5)
    # The axes that are left are in order already, or the maximum and its cotangent are transposed.
    assert ops(graph).count("transpose") == (2 if axes == (1, 3) else 0)


def test_an_output_in_the_middle_gets_its_own_layout():
    builder, t = transposed()
    y = builder.emit(Relu(), t)
    check(builder.finish([y, builder.emit(Tanh(), y), t], {}))


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("model", ["lenet5", "digits_cnn"])
def test_the_zoo_keeps_its_values(model, batch):
    entry = zoo.MODELS[model]
    graph = joint(convir.trace(entry.factory(), (batch, *entry.input_shape[1:])))
    lowered = LowerPool()(LowerConv("im2col")(graph))
    values = random_values(lowered)
    after = ASSIGN(lowered)
    assert_close(results(after, values), results(lowered, values), 1e-5)
    assert ops(after).count("transpose") < ops(lowered).count("transpose")


def test_chained_convolutions_need_no_transpose_between_them():
    nn = convir.nn
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 2), nn.Sigmoid())
    graph = convir.compile(model, (3, 2, 9, 9)).graph
    assert ops(graph).count("transpose") <= 3  # the input, what the gradient of the weight reads, the output
    forward = convir.compile(model, (3, 2, 9, 9), inference=True).graph
    assert ops(forward).count("transpose") == 2


def test_an_axis_of_length_one_in_the_batch():
    x = np.arange(12, dtype="f").reshape(1, 3, 2, 2)
    model = convir.nn.Sequential(convir.nn.Conv2d(3, 2, 2), convir.nn.MaxPool2d(1))
    fast, slow = convir.compile(model, x.shape), convir.compile(model, x.shape, conv="naive", pool="naive")
    np.testing.assert_allclose(fast(x), slow(x), rtol=1e-5)
