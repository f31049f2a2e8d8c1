"""Every lowering strategy against the explicit loops: forward and both gradients, on one list of cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import assert_close, assert_leaves, assert_rewrites, bind, graph_of, joint, random_values, results

import convir
from convir import TensorType, UnsupportedError
from convir.ir import Graph, verify
from convir.ir.ops import Conv2d, Conv2dGradInput, Conv2dGradWeight, ConvOp
from convir.passes.assign_layout import AssignLayout
from convir.passes.lower_conv import DEFAULT, STRATEGIES, LowerConv, strategy

LOWERED = [each.name for each in STRATEGIES if each.name != "naive"]
#: Largest difference in float64, relative to the largest element of the result; what float32 may differ by is derived,
#: and tested in ``test_lowering_error.py``.
TOLERANCE = 1e-10
#: What counts as the largest element where all are 0 because no window sees a pixel: operands are about 1, and Fourier
#: transforms leave their rounding.
LEAST = 1e-3

on_every_strategy = pytest.mark.parametrize("name", LOWERED)
on_every_case = pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())


def assert_equals_the_loops(case: ConvCase, name: str) -> None:
    reference = joint(case.graph("float64"))
    values = random_values(reference)
    expected = results(reference, values)
    lowered = LowerConv(name)(reference)
    verify(lowered, after="lower_conv")
    assert_close(results(lowered, values), expected, TOLERANCE, LEAST)
    settled = AssignLayout()(lowered)
    verify(settled, after="assign_layout")
    assert_close(results(settled, values), expected, TOLERANCE, LEAST)


@on_every_strategy
@on_every_case
def test_forward_and_gradients_equal_the_loops(case, name):
    assert_equals_the_loops(case, name)


@on_every_strategy
@given(case=conv_cases())
@settings(max_examples=40)
def test_any_convolution_equals_the_loops(case, name):
    assert_equals_the_loops(case, name)


@pytest.mark.slow
@on_every_strategy
@on_every_case
def test_compiled_equals_the_loops(case, name):
    graph = case.graph("float64")
    values = random_values(joint(graph))
    *inputs, cotangent = values.values()
    compiled = {choice: convir.compile(graph, conv=choice) for choice in ("naive", name)}
    forward = {choice: each(*inputs) for choice, each in compiled.items()}
    backward = {choice: list(each.backward(cotangent).values()) for choice, each in compiled.items()}
    assert_close([forward[name], *backward[name]], [forward["naive"], *backward["naive"]], TOLERANCE)


@on_every_case
def test_pytorch_agrees(case):
    torch = pytest.importorskip("torch")
    graph = case.graph("float64")
    whole = joint(graph)
    values = random_values(whole)
    tensors = {name: torch.tensor(values[name], requires_grad=True) for name in case.shapes}
    y = torch.nn.functional.conv2d(
        tensors["x"], tensors["w"], tensors.get("b"), case.stride, case.padding, case.dilation, case.groups
    )
    y = y if case.activation is None else getattr(torch, case.activation)(y)
    y.backward(torch.tensor(values["y.grad"]))
    expected = [y.detach().numpy(), *(tensor.grad.numpy() for tensor in tensors.values())]
    for choice in ("naive", *LOWERED):
        assert_close(results(LowerConv(choice)(whole), values), expected, TOLERANCE)


@on_every_strategy
@on_every_case
def test_nothing_of_the_convolution_is_left(case, name):
    lowered = LowerConv(name)(joint(case.graph("float32")))
    assert not any(isinstance(node.op, ConvOp) for node in lowered.nodes)


def test_naive_leaves_the_convolution_and_its_gradients():
    assert_leaves(LowerConv("naive"), joint(ConvCase().graph("float32")))


def test_im2col_forward():
    case = ConvCase(padding=(1, 0), activation="relu")
    assert_rewrites(
        LowerConv("im2col"),
        case.graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,3,2], b: f32[3]) -> f32[2,3,5,5]:
          y.reshape = reshape(w, shape=(3, 12)) : f32[3,12]
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 1), (0, 0)), layout=CHWN) : f32[2,7,6,2]
          y.im2col = im2col(y.pad2d, kernel_size=(3, 2), stride=(1, 1)) : f32[12,50]
          y.reshape_1 = reshape(b, shape=(3, 1)) : f32[3,1]
          y.matmul = matmul(y.reshape, y.im2col, y.reshape_1, activation=relu) : f32[3,50]
          y = reshape(y.matmul, shape=(3, 5, 5, 2)) : f32[3,5,5,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,5,5]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_im2col_of_a_pointwise_convolution_makes_no_patches():
    assert_rewrites(
        LowerConv("im2col"),
        ConvCase(kernel=(1, 1), bias=False).graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,1,1]) -> f32[2,3,5,6]:
          y.reshape = reshape(w, shape=(3, 2)) : f32[3,2]
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.reshape_1 = reshape(y.transpose, shape=(2, 60)) : f32[2,60]
          y.matmul = matmul(y.reshape, y.reshape_1) : f32[3,60]
          y = reshape(y.matmul, shape=(3, 5, 6, 2)) : f32[3,5,6,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,5,6]
          return y.transpose_1
        """,
    )


def test_im2col_with_groups_is_one_product_a_group():
    lowered = LowerConv("im2col")(ConvCase(channels=4, filters=6, groups=2).graph("float32"))
    operands = [str(value.type) for value in lowered.node("y.matmul").inputs]
    assert operands == ["f32[2,3,12]", "f32[2,12,30]", "f32[2,3,1]"]


def test_im2col_gradient_of_the_weight():
    op = Conv2dGradWeight(stride=(2, 2), kernel_size=(3, 2))
    assert_rewrites(
        LowerConv("im2col"),
        graph_of(op, (2, 3, 2, 3), (2, 2, 5, 6)),
        """
        graph one(grad: f32[2,3,2,3], input: f32[2,2,5,6]) -> f32[3,2,3,2]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,2,3,2]
          y.reshape = reshape(y.transpose, shape=(3, 12)) : f32[3,12]
          y.transpose_1 = transpose(input, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.im2col = im2col(y.transpose_1, kernel_size=(3, 2), stride=(2, 2)) : f32[12,12]
          y.matmul = matmul(y.reshape, y.im2col, transpose_b=True) : f32[3,12]
          y = reshape(y.matmul, shape=(3, 2, 3, 2)) : f32[3,2,3,2]
          return y
        """,
        rtol=1e-5,
    )


def test_im2col_gradient_of_the_input():
    op = Conv2dGradInput(padding=(1, 1), input_size=(3, 4))
    assert_rewrites(
        LowerConv("im2col"),
        graph_of(op, (2, 3, 3, 4), (3, 2, 3, 3)),
        """
        graph one(grad: f32[2,3,3,4], weight: f32[3,2,3,3]) -> f32[2,2,3,4]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,4,2]
          y.reshape = reshape(y.transpose, shape=(3, 24)) : f32[3,24]
          y.reshape_1 = reshape(weight, shape=(3, 18)) : f32[3,18]
          y.matmul = matmul(y.reshape_1, y.reshape, transpose_a=True) : f32[18,24]
          y.col2im = col2im(y.matmul, kernel_size=(3, 3), stride=(1, 1), input_size=(5, 6)) : f32[2,5,6,2]
          y.crop2d = crop2d(y.col2im, margins=((1, 1), (1, 1)), layout=CHWN) : f32[2,3,4,2]
          y.transpose_1 = transpose(y.crop2d, permutation=(3, 0, 1, 2)) : f32[2,2,3,4]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_what_a_lowering_makes_remembers_the_convolution():
    graph = convir.trace(convir.nn.Sequential(convir.nn.Conv2d(1, 1, 3)), (1, 1, 4, 4))
    node = next(node for node in LowerConv("im2col")(graph).nodes if node.op.name == "im2col")
    assert (node.origin, node.scope, node.made_by) == ("conv2d", "0", "lower_conv")
    assert node.source == graph.node("conv2d").source


class TwoConvs(convir.nn.Module):
    def __init__(self):
        self.a = convir.nn.Conv2d(1, 2, 3)
        self.b = convir.nn.Conv2d(2, 1, 3)

    def forward(self, x):
        return self.b(self.a(x))


def two() -> Graph:
    return convir.trace(TwoConvs(), (1, 1, 6, 6))


def test_a_strategy_for_each_convolution_by_name():
    lowered = LowerConv({"a": "naive", "b": "im2col"})(two())
    assert [node.name for node in lowered.nodes if isinstance(node.op, Conv2d)] == ["a"]


def test_unnamed_convolutions_get_the_default():
    assert DEFAULT == "im2col"
    lowered = LowerConv({"a": "naive"})(two())
    assert [node.name for node in lowered.nodes if isinstance(node.op, Conv2d)] == ["a"]


def test_the_choice_holds_for_the_gradients_too():
    lowered = LowerConv({"a": "naive", "b": "im2col"})(joint(two()))
    left = {type(node.op): node.origin for node in lowered.nodes if isinstance(node.op, ConvOp)}
    assert left == {Conv2d: "a", Conv2dGradWeight: "a", Conv2dGradInput: "a"}


@pytest.mark.parametrize("choice", ["winograd", "", None, 3, {"a": "dct"}], ids=str)
def test_an_unknown_strategy_is_refused_with_those_there_are(choice):
    with pytest.raises(UnsupportedError, match=r"unknown lowering strategy .* there are: naive, im2col"):
        LowerConv(choice)(two())


def test_an_unknown_strategy_is_refused_even_without_convolutions():
    with pytest.raises(UnsupportedError, match="unknown lowering strategy 'dct'"):
        LowerConv("dct")(graph_of(convir.ir.ops.Relu(), (2,)))


def test_an_unknown_node_is_refused_with_those_there_are():
    with pytest.raises(UnsupportedError, match="conv= names c, but the convolutions are: a, b"):
        LowerConv({"c": "im2col"})(two())


def test_every_strategy_has_a_name_of_its_own_and_a_summary():
    names = [each.name for each in STRATEGIES]
    assert len(set(names)) == len(names)
    assert all(strategy(name).summary for name in names)


def test_second_order_gradients_are_lowered_too():
    graph = bind(joint(joint(ConvCase(stride=(2, 1)).graph("float64"))))
    values = random_values(graph)
    lowered = LowerConv("im2col")(graph)
    assert not any(isinstance(node.op, ConvOp) for node in lowered.nodes)
    assert_close(results(lowered, values), results(graph, values), 1e-10)


def test_int_images_are_refused():
    with pytest.raises(convir.DTypeError, match="input must be float32 or float64"):
        graph_of(Conv2d(), TensorType((1, 1, 3, 3), "int64"), TensorType((1, 1, 2, 2), "int64"))


def test_patches_of_a_wide_image_are_not_a_copy_of_the_loops():
    """A value check that does not go through the loops: an averaging kernel against a moving average."""
    x = np.arange(36, dtype="float64").reshape(1, 1, 6, 6)
    graph = LowerConv("im2col")(graph_of(Conv2d(), (1, 1, 6, 6), (1, 1, 2, 2), dtype="float64"))
    (y,) = results(graph, {"input": x, "weight": np.full((1, 1, 2, 2), 0.25)})
    expected = (x[..., :-1, :-1] + x[..., 1:, :-1] + x[..., :-1, 1:] + x[..., 1:, 1:]) / 4
    np.testing.assert_allclose(y, expected)
