"""The toeplitz strategy: the graphs it makes, how it chooses its blocks, what they cost.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

from math import prod

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
    DepthToSpace,
    SpaceToDepth,
    ToeplitzWeight,
    ToeplitzWeightGrad,
)
from convir.passes.cost import work_of
from convir.passes.lower_conv import LowerConv
from convir.passes.lower_conv.toeplitz import MOST, choose_block
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
          y.toeplitz_weight = toeplitz_weight(w, block=(3, 1), stride=(2, 1)) : f32[6,2,7,3]
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
          y = depth_to_space(y.transpose_2, block=(3, 1)) : f32[2,3,4,2]
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
        blocks = [node.op.block for node in graph.nodes if hasattr(node.op, "block")]
        assert blocks == [choose_block(Conv2d(), shapes["weight"], (4, 4))] * 2 != [(1, 1)] * 2
        assert {"space_to_depth", expected} <= {node.op.name for node in graph.nodes}


def test_the_blocks_of_lenet5_and_of_wide_layers():
    first, second = (6, 1, 5, 5), (16, 6, 5, 5)
    assert choose_block(Conv2d(padding=(2, 2)), first, (28, 28))[0] > 1
    assert choose_block(Conv2d(padding=(2, 2)), first, (28, 28), (2, 2)) == (2, 2)
    assert choose_block(Conv2d(), second, (10, 10)) == (2, 1)
    assert choose_block(Conv2d(), (64, 64, 3, 3), (56, 56)) == (1, 1)
    assert choose_block(Conv2d(), first, (29, 29), (2, 2)) == (1, 1)
    assert choose_block(Conv2d(dilation=(2, 1)), first, (28, 28)) == (1, 1)


@given(
    filters=st.integers(1, 64),
    channels=st.integers(1, 8),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 3),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    window=st.none() | st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
def test_a_block_divides_the_plane(filters, channels, kernel, stride, size, window):
    block = choose_block(Conv2d((stride, stride)), (filters, channels, kernel, kernel), size, window)
    assert 1 <= prod(block) <= MOST
    assert size[0] % block[0] == size[1] % block[1] == 0
    assert block[1] == 1 or block == window


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_products_grow_and_patches_shrink_by_what_the_formula_says(case):
    (result,) = case.op.infer(*(TensorType(shape) for shape in case.shapes.values()))
    block, columns = choose_block(case.op, case.shapes["w"], (result.shape[2], result.shape[3]))
    assert columns == 1
    plain, wide = IM2COL(case.graph("float32")), TOEPLITZ(case.graph("float32"))
    height = case.kernel[0]
    assert macs(wide) * height == macs(plain) * (height + (block - 1) * case.stride[0])
    if block > 1 and height > 1:
        smaller = plan_memory([wide]).scratch_bytes("im2col"), plan_memory([plain]).scratch_bytes("im2col")
        assert smaller[0] * height * block == smaller[1] * (height + (block - 1) * case.stride[0])


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(block=pairs, stride=pairs, kernel=pairs)
def test_every_output_of_a_block_has_the_weights_further_on(block, stride, kernel):
    weight = np.random.default_rng(0).standard_normal((3, 2, *kernel))
    (wide,) = evaluate(ToeplitzWeight(block, stride), [weight])
    for o, p, q, k, tap in np.ndindex(3, *block, *wide.shape[2:]):
        row, column = k - p * stride[0], tap - q * stride[1]
        inside = 0 <= row < kernel[0] and 0 <= column < kernel[1]
        expected = weight[o, :, row, column] if inside else np.zeros(2)
        np.testing.assert_array_equal(wide[(o * block[0] + p) * block[1] + q, :, k, tap], expected)


@given(block=pairs)
def test_space_from_channels_and_back(block):
    rows, columns = block
    image = np.random.default_rng(0).standard_normal((2 * rows * columns, 3, 2, 5))
    (large,) = evaluate(DepthToSpace(block), [image])
    assert large.shape == (2, 3 * rows, 2 * columns, 5)
    for c, p, q, i, j in np.ndindex(2, rows, columns, 3, 2):
        place = (c * rows + p) * columns + q
        np.testing.assert_array_equal(large[c, i * rows + p, j * columns + q], image[place, i, j])
    (back,) = evaluate(SpaceToDepth(block), [large])
    np.testing.assert_array_equal(back, image)


BAD = [
    (ToeplitzWeightGrad((2, 1)), (3, 1, 4, 1), r"f32\[3,1,4,1\] is not a weight for blocks of \(2, 1\) outputs"),
    (ToeplitzWeightGrad((3, 1), (2, 1)), (3, 1, 4, 1), r"blocks of \(3, 1\) outputs with stride \(2, 1\)"),
    (ToeplitzWeightGrad((1, 3)), (3, 1, 4, 2), r"blocks of \(1, 3\) outputs"),
    (ToeplitzWeight((2, 1)), (3, 1, 4), r"\(O, C/groups, KH, KW\)"),
    (DepthToSpace((2, 1)), (3, 1, 4, 1), r"the 3 channels of .* are no multiple of the 2 of block=\(2, 1\)"),
    (SpaceToDepth((2, 1)), (2, 3, 4, 1), r"the 3 x 4 plane of .* is no multiple of block=\(2, 1\)"),
    (SpaceToDepth((1, 3)), (2, 3, 4, 1), r"no multiple of block=\(1, 3\)"),
    (DepthToSpace((2, 1)), (2, 3, 4), r"\(C, H, W, N\)"),
]


@pytest.mark.parametrize(("op", "shape", "message"), BAD)
def test_operands_that_do_not_fit_are_refused(op, shape, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(TensorType(shape))


@pytest.mark.parametrize("op", [ToeplitzWeight, ToeplitzWeightGrad, DepthToSpace, SpaceToDepth])
@pytest.mark.parametrize("block", [(0, 1), (1, -1), (True, 1), 2, "2", (1, 2, 3)])
def test_attributes_out_of_range(op, block):
    with pytest.raises(ShapeError, match=f"{op.name}: block must be two integers of at least 1"):
        op(block)
