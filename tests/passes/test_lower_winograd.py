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
    Conv2dGradInput,
    Conv2dGradWeight,
    WinogradInput,
    WinogradOutput,
    WinogradOutputGrad,
    WinogradWeight,
    WinogradWeightGrad,
)
from convir.passes.cost import cost_of, work_of
from convir.passes.lower_conv import LowerConv
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


@given(
    tile=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    across=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_output_and_weight_gradients_are_adjoints(tile, kernel, across):
    """``<T x, y> = <x, T* y>`` for random x and y."""
    rng = np.random.default_rng(0)
    places = prod(m + r - 1 for m, r in zip(tile, kernel, strict=True))
    size = tuple(count * m for count, m in zip(across, tile, strict=True))
    pairs = [
        (
            WinogradOutput(tile, kernel, across),
            WinogradOutputGrad(tile, kernel),
            (places, 2, prod(across) * 3),
            (2, *size, 3),
        ),
        (WinogradWeight(tile, kernel), WinogradWeightGrad(tile, kernel), (2, 3, *kernel), (places, 2, 3)),
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
