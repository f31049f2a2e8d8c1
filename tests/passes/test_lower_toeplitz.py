"""The toeplitz strategy: the graphs it makes, how it chooses its blocks, what they cost.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conv_cases import CONV_CASES, ConvCase
from support.graphs import assert_rewrites, graph_of

from convir.ir import Graph, ShapeError, TensorType
from convir.ir.ops import (
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    DepthToRows,
    RowsToDepth,
    ToeplitzWeight,
    ToeplitzWeightGrad,
)
from convir.passes.cost import work_of
from convir.passes.lower_conv import LowerConv
from convir.passes.lower_conv.toeplitz import MOST_ROWS, block_rows
from convir.passes.memory import plan_memory
from convir.runtime import evaluate

TOEPLITZ, IM2COL = LowerConv("toeplitz"), LowerConv("im2col")


def macs(graph: Graph) -> int:
    return sum(work_of(node).macs for node in graph.nodes)


def test_forward():
    case = ConvCase(channels=2, size=(6, 6), kernel=(3, 3), stride=(2, 1), padding=(1, 0), activation="relu", filters=2)
    assert_rewrites(
        TOEPLITZ,
        case.graph("float32"),
        """
        graph conv(x: f32[2,2,6,6], w: f32[2,2,3,3], b: f32[2]) -> f32[2,2,3,4]:
          y.toeplitz_weight = toeplitz_weight(w, rows=3, stride=2) : f32[6,2,7,3]
          y.reshape = reshape(b, shape=(2, 1)) : f32[2,1]
          y.broadcast_to = broadcast_to(y.reshape, shape=(2, 3)) : f32[2,3]
          y.reshape_1 = reshape(y.broadcast_to, shape=(6,)) : f32[6]
          y.reshape_2 = reshape(y.toeplitz_weight, shape=(6, 42)) : f32[6,42]
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,6,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 1), (0, 0)), layout=CHWN) : f32[2,8,6,2]
          y.im2col = im2col(y.pad2d, kernel_size=(7, 3), stride=(6, 1)) : f32[42,8]
          y.reshape_3 = reshape(y.reshape_1, shape=(6, 1)) : f32[6,1]
          y.matmul = matmul(y.reshape_2, y.im2col, y.reshape_3, activation=relu) : f32[6,8]
          y.reshape_4 = reshape(y.matmul, shape=(6, 1, 4, 2)) : f32[6,1,4,2]
          y.transpose_1 = transpose(y.reshape_4, permutation=(3, 0, 1, 2)) : f32[2,6,1,4]
          y.transpose_2 = transpose(y.transpose_1, permutation=(1, 2, 3, 0)) : f32[6,1,4,2]
          y = depth_to_rows(y.transpose_2, rows=3) : f32[2,3,4,2]
          y.transpose_3 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,2,3,4]
          return y.transpose_3
        """,
        rtol=1e-5,
    )


def test_gradients_use_the_same_blocks():
    shapes = {"grad": (2, 2, 4, 4), "weight": (2, 1, 3, 3), "image": (2, 1, 6, 6)}
    weight = TOEPLITZ(graph_of(Conv2dGradWeight(kernel_size=(3, 3)), shapes["grad"], shapes["image"]))
    image = TOEPLITZ(graph_of(Conv2dGradInput(input_size=(6, 6)), shapes["grad"], shapes["weight"]))
    for graph, expected in ((weight, "toeplitz_weight_grad"), (image, "toeplitz_weight")):
        blocks = [node.op.rows for node in graph.nodes if hasattr(node.op, "rows")]
        assert blocks == [block_rows(Conv2d(), shapes["weight"], 4)] * 2 != [1, 1]
        assert {"rows_to_depth", expected} <= {node.op.name for node in graph.nodes}


def test_the_blocks_of_lenet5_and_of_wide_layers():
    assert block_rows(Conv2d(padding=(2, 2)), (6, 1, 5, 5), 28) > 1
    assert block_rows(Conv2d(), (16, 6, 5, 5), 10) == 2
    assert block_rows(Conv2d(), (64, 64, 3, 3), 56) == 1
    assert block_rows(Conv2d(), (6, 1, 5, 5), 29) == 1
    assert block_rows(Conv2d(dilation=(2, 1)), (6, 1, 5, 5), 28) == 1


@given(
    filters=st.integers(1, 64),
    channels=st.integers(1, 8),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    rows=st.integers(1, 60),
)
def test_a_block_divides_the_rows(filters, channels, kernel, stride, rows):
    block = block_rows(Conv2d(stride=(stride, stride)), (filters, channels, kernel, kernel), rows)
    assert 1 <= block <= MOST_ROWS
    assert rows % block == 0


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_products_grow_and_patches_shrink_by_what_the_formula_says(case):
    (result,) = case.op.infer(*(TensorType(shape) for shape in case.shapes.values()))
    block = block_rows(case.op, case.shapes["w"], result.shape[2])
    plain, wide = IM2COL(case.graph("float32")), TOEPLITZ(case.graph("float32"))
    height = case.kernel[0]
    assert macs(wide) * height == macs(plain) * (height + (block - 1) * case.stride[0])
    if block > 1 and height > 1:
        smaller = plan_memory([wide]).scratch_bytes("im2col"), plan_memory([plain]).scratch_bytes("im2col")
        assert smaller[0] * height * block == smaller[1] * (height + (block - 1) * case.stride[0])


@given(rows=st.integers(1, 4), stride=st.integers(1, 3), height=st.integers(1, 3))
def test_every_row_of_a_block_has_the_weights_further_down(rows, stride, height):
    weight = np.random.default_rng(0).standard_normal((3, 2, height, 2))
    (wide,) = evaluate(ToeplitzWeight(rows, stride), [weight])
    for o, p, k in np.ndindex(3, rows, wide.shape[2]):
        inside = 0 <= k - p * stride < height
        expected = weight[o, :, k - p * stride] if inside else np.zeros((2, 2))
        np.testing.assert_array_equal(wide[o * rows + p, :, k], expected)


@given(rows=st.integers(1, 4))
def test_rows_from_channels_and_back(rows):
    image = np.random.default_rng(0).standard_normal((2 * rows, 3, 2, 5))
    (tall,) = evaluate(DepthToRows(rows), [image])
    assert tall.shape == (2, 3 * rows, 2, 5)
    for c, p, i in np.ndindex(2, rows, 3):
        np.testing.assert_array_equal(tall[c, i * rows + p], image[c * rows + p, i])
    (back,) = evaluate(RowsToDepth(rows), [tall])
    np.testing.assert_array_equal(back, image)


BAD = [
    (ToeplitzWeightGrad(2), (3, 1, 4, 1), r"f32\[3,1,4,1\] is not a weight for blocks of 2 rows with stride 1"),
    (ToeplitzWeightGrad(3, 2), (3, 1, 4, 1), "blocks of 3 rows with stride 2"),
    (ToeplitzWeight(2), (3, 1, 4), r"\(O, C/groups, KH, KW\)"),
    (DepthToRows(2), (3, 1, 4, 1), "the 3 channels of .* are no multiple of rows=2"),
    (RowsToDepth(2), (2, 3, 4, 1), "the 3 rows of .* are no multiple of rows=2"),
    (DepthToRows(2), (2, 3, 4), r"\(C, H, W, N\)"),
]


@pytest.mark.parametrize(("op", "shape", "message"), BAD)
def test_operands_that_do_not_fit_are_refused(op, shape, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(TensorType(shape))


@pytest.mark.parametrize("op", [ToeplitzWeight, ToeplitzWeightGrad, DepthToRows, RowsToDepth])
@pytest.mark.parametrize("rows", [0, -1, True, 1.5, "2"])
def test_attributes_out_of_range(op, rows):
    with pytest.raises(ShapeError, match=f"{op.name}: rows must be an integer of at least 1"):
        op(rows)
