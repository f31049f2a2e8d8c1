"""Winograd's strategies: the graphs they make, how often they multiply.

That they compute the right thing is tested with all other strategies in ``test_lower_conv.py``, how they round in
``test_lowering_error.py``.
"""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conv_cases import ConvCase
from support.graphs import assert_rewrites, graph_of, joint

from convir.ir import Graph, ShapeError, TensorType
from convir.ir.ops import (
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    WinogradInput,
    WinogradOutput,
    WinogradOutputGrad,
    WinogradWeight,
    WinogradWeightGrad,
)
from convir.passes.cost import cost_of, work_of
from convir.passes.lower_conv import LowerConv, strategy
from convir.runtime import evaluate

TILES = {2: LowerConv("winograd_2x2"), 4: LowerConv("winograd_4x4")}


def macs(graph: Graph) -> int:
    return sum(work_of(node).macs for node in graph.nodes)


def test_forward():
    case = ConvCase(size=(5, 4), kernel=(3, 3), padding=(1, 1), activation="relu")
    assert_rewrites(
        TILES[2],
        case.graph("float32"),
        """
        graph conv(x: f32[2,2,5,4], w: f32[3,2,3,3], b: f32[3]) -> f32[2,3,5,4]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,4,2]
          y.winograd_weight = winograd_weight(w, tile=(2, 2), kernel_size=(3, 3)) : f32[16,3,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 2), (1, 1)), layout=CHWN) : f32[2,8,6,2]
          y.winograd_input = winograd_input(y.pad2d, tile=(2, 2), kernel_size=(3, 3)) : f32[16,2,12]
          y.matmul = matmul(y.winograd_weight, y.winograd_input) : f32[16,3,12]
          y.reshape = reshape(y.matmul, shape=(16, 3, 12)) : f32[16,3,12]
          y.winograd_output = winograd_output(y.reshape, b, tile=(2, 2), kernel_size=(3, 3), tiles_across=(3, 2), activation=relu) : f32[3,6,4,2]
          y = crop2d(y.winograd_output, margins=((0, 1), (0, 0)), layout=CHWN) : f32[3,5,4,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,5,4]
          return y.transpose_1
        """,  # noqa: E501
        rtol=1e-5,
    )


def ops_of(graph: Graph) -> list[str]:
    return [node.op.name for node in graph.nodes if not node.op.view and node.op.name != "transpose"]


def test_gradients():
    grad, weight, image = (2, 3, 4, 4), (3, 2, 3, 3), (2, 2, 4, 4)
    dx = TILES[4](graph_of(Conv2dGradInput(padding=(1, 1), input_size=(4, 4)), grad, weight))
    assert ops_of(dx) == ["flip_weight", "winograd_weight", "pad2d", "winograd_input", "matmul", "winograd_output"]
    dw = TILES[4](graph_of(Conv2dGradWeight(padding=(1, 1), kernel_size=(3, 3)), grad, image))
    assert ops_of(dw) == ["winograd_output_grad", "pad2d", "winograd_input", "matmul", "winograd_weight_grad"]


@pytest.mark.parametrize(("tile", "kernel", "ratio"), [(2, 3, 2.25), (4, 3, 4.0), (2, 5, 100 / 36), (4, 5, 400 / 64)])
def test_how_often_it_multiplies(tile, kernel, ratio):
    """The loop nest multiplies so many times as often, forward and for both gradients."""
    size = 8 * tile
    case = ConvCase(2, 3, (size, size), 5, (kernel, kernel), padding=(kernel // 2, kernel // 2), bias=False)
    for wanted in ("x", "w"):
        graph = joint(case.graph("float32"), wanted)
        assert macs(graph) / macs(TILES[tile](graph)) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("tile", "kernel", "stride", "ratio"),
    [
        (2, 3, (2, 2), 36 / 25),
        (4, 3, (2, 2), 144 / 81),
        (4, 3, (2, 1), 144 / 54),
        (4, 7, (2, 2), 784 / 169),
        (4, 5, (3, 3), 400 / 196),
    ],
)
def test_how_often_it_multiplies_with_a_stride(tile, kernel, stride, ratio):
    """``min(K, s) * (m - 1) + K`` times along an axis, forward and for both gradients."""
    size = tuple(4 * tile * s for s in stride)
    case = ConvCase(2, 3, size, 5, (kernel, kernel), stride, padding=(kernel // 2, kernel // 2), bias=False)
    for wanted in ("x", "w"):
        graph = joint(case.graph("float32"), wanted)
        assert macs(graph) / macs(TILES[tile](graph)) == pytest.approx(ratio)


def test_forward_with_a_stride():
    """Five inputs of two outputs, with 25 products for 36; the last row of the image is seen by no window."""
    case = ConvCase(size=(8, 6), kernel=(3, 3), stride=(2, 2), padding=(0, 1), bias=False)
    assert_rewrites(
        TILES[2],
        case.graph("float32"),
        """
        graph conv(x: f32[2,2,8,6], w: f32[3,2,3,3]) -> f32[2,3,3,3]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,8,6,2]
          y.winograd_weight = winograd_weight(w, tile=(2, 2), kernel_size=(3, 3), stride=(2, 2)) : f32[25,3,2]
          y.pad2d = pad2d(y.transpose, margins=((0, 1), (1, 2)), layout=CHWN) : f32[2,9,9,2]
          y.winograd_input = winograd_input(y.pad2d, tile=(2, 2), kernel_size=(3, 3), stride=(2, 2)) : f32[25,2,8]
          y.matmul = matmul(y.winograd_weight, y.winograd_input) : f32[25,3,8]
          y.reshape = reshape(y.matmul, shape=(25, 3, 8)) : f32[25,3,8]
          y.winograd_output = winograd_output(y.reshape, tile=(2, 2), kernel_size=(3, 3), stride=(2, 2), tiles_across=(2, 2)) : f32[3,4,4,2]
          y = crop2d(y.winograd_output, margins=((0, 1), (0, 1)), layout=CHWN) : f32[3,3,3,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,3,3]
          return y.transpose_1
        """,  # noqa: E501
        rtol=1e-5,
    )


def test_the_input_gradient_with_a_stride():
    """Tiles of 4 x 4 pixels of 3 x 3 cotangents: each pixel sees one or two of them along each axis."""
    grad, weight = (2, 3, 4, 4), (3, 2, 3, 3)
    graph = graph_of(Conv2dGradInput((2, 2), (1, 1), input_size=(8, 8)), grad, weight)
    lowered = TILES[2](graph)
    assert ops_of(lowered) == ["flip_weight", "winograd_weight", "pad2d", "winograd_input", "matmul", "winograd_output"]
    (turned,) = (node for node in lowered.nodes if node.op.name == "winograd_input")
    assert turned.op == WinogradInput((4, 4), upsampling=(2, 2), phase=(1, 1))
    assert (turned.op.window, turned.op.step, turned.op.places) == ((3, 3), (2, 2), 25)


def test_what_is_refused():
    def reason(kernel: tuple[int, int], stride: tuple[int, int] = (1, 1), dilation: tuple[int, int] = (1, 1)):
        op = Conv2d(stride, dilation=dilation)
        return strategy("winograd_4x4").refuses(op, TensorType((1, 1, 99, 99)), TensorType((1, 1, *kernel)))

    assert reason((3, 3), dilation=(1, 2)) == "needs dilation 1, and this one has dilation (1, 2)"
    assert reason((1, 1)) == "saves nothing with a 1x1 kernel"
    assert reason((2, 3), (2, 3)) == "saves nothing with a 2x3 kernel and stride (2, 3)"
    assert reason((2, 3), (2, 2)) is None
    assert reason((6, 1)) == "loses too many digits with kernels as large as 6x1"
    assert reason((10, 5), (2, 1)) is None
    assert reason((11, 5), (2, 1)) == "loses too many digits with kernels as large as 11x5"


@given(
    tile=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    across=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_output_and_weight_gradients_are_adjoints(tile, kernel, stride, across):
    """``<T x, y> = <x, T* y>`` for random x and y."""
    rng = np.random.default_rng(0)
    places = prod(min(r, s) * (m - 1) + r for m, r, s in zip(tile, kernel, stride, strict=True))
    size = tuple(count * m for count, m in zip(across, tile, strict=True))
    pairs = [
        (
            WinogradOutput(tile, kernel, across, stride=stride),
            WinogradOutputGrad(tile, kernel, stride=stride),
            (places, 2, prod(across) * 3),
            (2, *size, 3),
        ),
        (
            WinogradWeight(tile, kernel, stride=stride),
            WinogradWeightGrad(tile, kernel, stride=stride),
            (2, 3, *kernel),
            (places, 2, 3),
        ),
    ]
    for forward, adjoint, source, target in pairs:
        x, y = rng.standard_normal(source), rng.standard_normal(target)
        (tx,), (ty,) = evaluate(forward, [x]), evaluate(adjoint, [y])
        assert tx.shape == target
        assert ty.shape == source
        np.testing.assert_allclose((tx * y).sum(), (x * ty).sum(), rtol=1e-10, atol=1e-10)


def test_the_transforms_add_what_the_formulas_say():
    """F(2x2, 3x3): 32 additions for 16 inputs, 24 for 4 outputs (Lavin and Gray, section 4.1)."""
    tile = WinogradInput()
    assert cost_of(tile, (TensorType((1, 4, 4, 1)),), (TensorType((16, 1, 1)),)).pointwise == 32
    assert cost_of(WinogradOutput(), (TensorType((16, 1, 1)),), (TensorType((1, 2, 2, 1)),)).pointwise == 24


BAD = [
    (WinogradWeight(), (3, 2, 3, 2), r"weight must be f32\[3,2,3,3\], got f32\[3,2,3,2\]"),
    (WinogradInput(), (1, 5, 6, 1), r"do not fill an image of \(5, 6\); pad it"),
    (WinogradInput(), (1, 2, 6, 1), r"do not fill an image of \(2, 6\); pad it"),
    (WinogradInput(stride=(2, 1)), (1, 7, 6, 1), r"do not fill an image of \(7, 6\); pad it"),
    (WinogradOutput(tiles_across=(2, 2)), (16, 1, 6), "does not hold 16 places of 2 by 2 tiles"),
    (WinogradOutput(), (15, 1, 6), "does not hold 16 places"),
    (WinogradOutputGrad(), (1, 3, 4, 1), r"tiles of \(2, 2\) do not fill"),
    (WinogradWeightGrad(), (15, 1, 1), r"grad must be f32\[16,1,1\]"),
]


@pytest.mark.parametrize(("op", "shape", "message"), BAD)
def test_operands_that_do_not_fit_are_refused(op, shape, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(TensorType(shape))


def test_attributes_out_of_range():
    with pytest.raises(ShapeError, match="winograd_input: tile must be two integers of at least 1"):
        WinogradInput((0, 2))
    with pytest.raises(ShapeError, match=r"winograd_weight: F\(9, 9\) needs"):
        WinogradWeight((9, 2), (9, 3))
    with pytest.raises(ShapeError, match="activation must be one of"):
        WinogradOutput(activation="gelu")
    with pytest.raises(ShapeError, match="winograd_input: stride must be two integers of at least 1"):
        WinogradInput(stride=(2, 0))
    with pytest.raises(ShapeError, match="winograd_input: stride 2 and upsampling 2 do not go together"):
        WinogradInput(stride=(1, 2), upsampling=(1, 2))
    with pytest.raises(ShapeError, match="got 2 outputs and phase 2"):
        WinogradInput(upsampling=(2, 2), phase=(1, 2))
