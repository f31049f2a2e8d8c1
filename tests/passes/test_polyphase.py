"""Images as polyphase components: what they hold, that windows find their pixels there, and the way back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import random_values, results

from convir.ir import Graph, TensorType
from convir.ir.ops import PolyphaseOp
from convir.passes.lower_conv.polyphase import from_components, to_components
from convir.passes.rewrite import Rewriter


def components_graph(case: ConvCase) -> Graph:
    """An NCHW image to its components."""
    rewriter = Rewriter(Graph("components", (), (), (), ()), "test")
    image = rewriter.input("x", TensorType(case.shapes["x"], "float64"))
    return rewriter.finish([to_components(rewriter, case.op, image, case.kernel)], {})


def image_graph(case: ConvCase, components: TensorType) -> Graph:
    """Components to an NCHW image."""
    rewriter = Rewriter(Graph("image", (), (), (), ()), "test")
    given = rewriter.input("c", components)
    return rewriter.finish([from_components(rewriter, case.op, given, case.size, case.kernel)], {})


def components_of(case: ConvCase, image: np.ndarray) -> np.ndarray:
    return results(components_graph(case), {"x": image})[0]


@given(case=conv_cases())
def test_a_component_is_a_slice_of_the_padded_image(case):
    image = random_values(components_graph(case))["x"]
    (down, across), (top, left) = case.stride, case.padding
    found = components_of(case, image)
    rows, columns = found.shape[1] // (down * across), found.shape[2]
    behind = [rows * down, columns * across]
    padded = np.pad(image, ((0, 0), (0, 0), (top, behind[0]), (left, behind[1])))[..., : behind[0], : behind[1]]
    for p in range(down):
        for q in range(across):
            part = found[:, (p * across + q) * rows :][:, :rows]
            np.testing.assert_array_equal(part, padded[..., p::down, q::across].transpose(1, 2, 3, 0))


@given(case=conv_cases())
def test_a_tap_finds_the_pixels_of_every_window_side_by_side(case):
    """By the definition of a convolution: window (i, j), tap (k, l) sees pixel i*S + k*D - P."""
    image = random_values(components_graph(case))["x"]
    found = components_of(case, image)
    op = PolyphaseOp(case.stride, case.dilation)
    rows, columns = case.op.output_size(case.size, case.kernel)
    assert op.output_size(TensorType(found.shape, "float64"), case.kernel) == (rows, columns)
    height = found.shape[1] // (case.stride[0] * case.stride[1])
    taps = list(op.taps(case.kernel, height))
    assert [(tap.k, tap.l) for tap in taps] == list(np.ndindex(case.kernel))
    padded = np.pad(image, ((0, 0), (0, 0), *((each, each) for each in case.padding)))
    for tap in taps:
        top, left = tap.k * case.dilation[0], tap.l * case.dilation[1]
        seen = padded[..., top :: case.stride[0], left :: case.stride[1]][..., :rows, :columns]
        view = found[:, tap.row : tap.row + rows, tap.column : tap.column + columns]
        np.testing.assert_array_equal(view, seen.transpose(1, 2, 3, 0))


@given(case=conv_cases())
def test_components_are_no_larger_than_windows_reach(case):
    (result,) = components_graph(case).outputs
    op = PolyphaseOp(case.stride, case.dilation)
    y = TensorType((1, *case.op.output_size(case.size, case.kernel), case.batch), "float64")
    assert op.image(case.channels, y, case.kernel) == result.type


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_the_way_back_is_the_adjoint(case):
    there = components_graph(case)
    rng = np.random.default_rng(0)
    image, parts = rng.standard_normal(case.shapes["x"]), rng.standard_normal(there.outputs[0].type.shape)
    (back,) = results(image_graph(case, there.outputs[0].type), {"c": parts})
    assert back.shape == image.shape
    assert np.vdot(components_of(case, image), parts) == pytest.approx(np.vdot(image, back), rel=1e-12)


def test_stride_one_moves_nothing():
    """Components of stride 1 are the image; what no window reads is cut off."""
    apart = ["reshape", "transpose", "reshape"]
    assert moves(ConvCase(size=(6, 7))) == ["transpose"]
    assert moves(ConvCase(size=(8, 8), kernel=(3, 3), stride=(3, 4))) == ["transpose", "crop2d", *apart]
    assert moves(ConvCase(size=(8, 8), kernel=(4, 4), stride=(4, 4))) == ["transpose", *apart]
    assert moves(ConvCase(size=(7, 7), kernel=(1, 2), stride=(3, 3))) == ["transpose", "pad2d", "crop2d", *apart]


def test_the_way_back_moves_nothing_either():
    case = ConvCase(size=(6, 7))
    back = image_graph(case, components_graph(case).outputs[0].type)
    assert [node.op.name for node in back.nodes] == ["transpose"]


def moves(case: ConvCase) -> list[str]:
    return [node.op.name for node in components_graph(case).nodes]
