"""The shift_gemm strategy: the graphs it makes, its blocks, what they cost, and the ops of which they are made.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import assert_rewrites, graph_of, joint, random_values, results

import convir
from convir import ShapeError, nn
from convir.ir import Graph, TensorType
from convir.ir.ops import (
    Conv2dGradInput,
    Conv2dGradWeight,
    ShiftedMatMul,
    ShiftedMatMulGradInput,
    ShiftedMatMulGradWeight,
    ShiftOp,
)
from convir.passes.batch import PartialSum, PerSample, batch_roles
from convir.passes.cost import Cost, work_of
from convir.passes.differentiate import Differentiate
from convir.passes.lower_conv import LowerConv, shift_gemm
from convir.runtime import NUMPY, evaluate

SHIFT = LowerConv("shift_gemm")

on_every_case = pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())


def shifted(graph: Graph) -> list:
    """The nodes that multiply."""
    return [node for node in graph.nodes if isinstance(node.op, ShiftOp)]


def test_forward():
    assert_rewrites(
        SHIFT,
        ConvCase(padding=(2, 1), activation="relu").graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,3,2], b: f32[3]) -> f32[2,3,7,7]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((2, 2), (1, 1)), layout=CHWN) : f32[2,9,8,2]
          y.transpose_1 = transpose(w, permutation=(2, 3, 0, 1)) : f32[3,2,3,2]
          y = shifted_matmul(y.pad2d, y.transpose_1, b, stride=(1, 1), rows=7, activation=relu) : f32[3,7,7,2]
          y.transpose_2 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,7,7]
          return y.transpose_2
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight_with_a_stride():
    assert_rewrites(
        SHIFT,
        graph_of(Conv2dGradWeight((2, 1), (1, 0), groups=2, kernel_size=(3, 2)), (2, 6, 3, 5), (2, 4, 5, 6)),
        """
        graph one(grad: f32[2,6,3,5], input: f32[2,4,5,6]) -> f32[6,2,3,2]:
          y.transpose = transpose(input, permutation=(1, 2, 3, 0)) : f32[4,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 2), (0, 0)), layout=CHWN) : f32[4,8,6,2]
          y.reshape = reshape(y.pad2d, shape=(4, 4, 2, 6, 1, -1)) : f32[4,4,2,6,1,2]
          y.transpose_1 = transpose(y.reshape, permutation=(0, 2, 4, 1, 3, 5)) : f32[4,2,1,4,6,2]
          y.reshape_1 = reshape(y.transpose_1, shape=(4, 8, 6, -1)) : f32[4,8,6,2]
          y.transpose_2 = transpose(grad, permutation=(1, 2, 3, 0)) : f32[6,3,5,2]
          y.shifted_matmul_grad_weight = shifted_matmul_grad_weight(y.transpose_2, y.reshape_1, stride=(2, 1), groups=2, rows=3, kernel_size=(3, 2)) : f32[3,2,6,2]
          y = transpose(y.shifted_matmul_grad_weight, permutation=(2, 3, 0, 1)) : f32[6,2,3,2]
          return y
        """,  # noqa: E501
        rtol=1e-5,
    )


def test_gradient_of_the_input():
    assert_rewrites(
        SHIFT,
        graph_of(Conv2dGradInput(padding=(1, 1), input_size=(3, 4)), (2, 3, 3, 4), (3, 2, 3, 3)),
        """
        graph one(grad: f32[2,3,3,4], weight: f32[3,2,3,3]) -> f32[2,2,3,4]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,4,2]
          y.transpose_1 = transpose(weight, permutation=(2, 3, 0, 1)) : f32[3,3,3,2]
          y.shifted_matmul_grad_input = shifted_matmul_grad_input(y.transpose, y.transpose_1, stride=(1, 1), rows=3) : f32[2,5,6,2]
          y.crop2d = crop2d(y.shifted_matmul_grad_input, margins=((1, 1), (1, 1)), layout=CHWN) : f32[2,3,4,2]
          y.transpose_2 = transpose(y.crop2d, permutation=(3, 0, 1, 2)) : f32[2,2,3,4]
          return y.transpose_2
        """,  # noqa: E501
        rtol=1e-5,
    )


@given(case=conv_cases(), rows=st.integers(1, 5))
@settings(max_examples=60)
def test_operations(case, rows):
    """Block by block: from its first window to its last, through the ends of all rows but the last."""
    case = replace(case, activation=None, bias=False)
    forward, weight, image = shifted(SHIFT(joint(case.graph("float32"), "x", "w")))
    height, width = forward.outputs[0].type.shape[1:3]
    between = (case.kernel[1] - 1) * case.dilation[1] // case.stride[1]
    blocks = [min(rows, height - first) for first in range(0, height, rows)]
    columns = sum(block * width + (block - 1) * between for block in blocks) * case.batch
    taps, macs = prod(case.kernel), prod(case.shapes["w"]) * columns
    added = {
        ShiftedMatMul: (taps - 1) * case.filters * columns,
        ShiftedMatMulGradInput: taps * case.channels * columns,
        ShiftedMatMulGradWeight: (len(blocks) - 1) * prod(case.shapes["w"]),
    }
    assert {type(node.op) for node in (forward, weight, image)} == set(added)
    for node in (forward, weight, image):
        blocked = replace(node, op=replace(node.op, rows=rows))
        assert work_of(blocked).cost == Cost(macs, added[type(node.op)])


def test_bias_and_activation_are_counted_for_what_is_left():
    graph = SHIFT(ConvCase(batch=1, activation="sigmoid").graph("float32"))
    (node,) = shifted(graph)
    columns, results_ = 3 * 5 + 2, 3 * 3 * 5
    assert work_of(node).cost == Cost(3 * 2 * 6 * columns, 5 * 3 * columns + (1 + 4) * results_)


@given(case=conv_cases(), rows=st.integers(1, 4))
@settings(max_examples=60)
def test_blocks_change_nothing(case, rows):
    graph = SHIFT(joint(case.graph("float64"), "x", "w"))
    values = random_values(graph)
    nodes = [replace(n, op=replace(n.op, rows=rows)) if isinstance(n.op, ShiftOp) else n for n in graph.nodes]
    blocked = graph.replace(nodes=tuple(nodes))
    for found, expected in zip(results(blocked, values), results(graph, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("size", [28, 56])
@pytest.mark.parametrize("batch", [1, 8])
def test_what_it_works_in_depends_on_neither_kernel_nor_image(size, batch):
    """Two blocks, or a block and one tap's weights; im2col's patches are KH*KW images."""
    for kernel in (1, 3, 5, 7):
        case = ConvCase(batch=batch, channels=32, filters=48, size=(size, size), kernel=(kernel, kernel),
                        padding=(kernel // 2, kernel // 2))  # fmt: skip
        for node in shifted(SHIFT(joint(case.graph("float32")))):
            found = sum(type.nbytes for type in NUMPY.scratch(node))
            assert found <= 2 * shift_gemm.BLOCK_BYTES, node


def test_a_row_that_is_too_long_is_a_block():
    case = ConvCase(channels=1, filters=40, size=(3, 9000), kernel=(1, 3), bias=False)
    (node,) = shifted(SHIFT(case.graph("float32")))
    assert node.op.rows == 1
    assert shift_gemm.BLOCK_BYTES < NUMPY.scratch(node)[0].nbytes == 40 * (9000 - 2) * 2 * 4


@pytest.mark.parametrize("channels", [24, 48])
def test_blocks_hold_the_filters_or_the_channels(channels):
    """Forward and gradients have the same blocks, by the more of the two."""
    case = ConvCase(channels=channels, filters=72 - channels, size=(66, 70), kernel=(3, 1))
    rows = {node.op.rows for node in shifted(SHIFT(joint(case.graph("float32"))))}
    assert rows == {shift_gemm.BLOCK_BYTES // (48 * 70 * 2 * 4)}
    assert rows < {*range(2, 64)}


@given(case=conv_cases())
@settings(max_examples=30)
def test_its_own_gradient_is_the_convolutions(case):
    """Differentiating what is lowered gives what lowering the derivative gives."""
    graph = case.graph("float64")
    late, early = SHIFT(joint(graph)), Differentiate()(SHIFT(graph))
    values = random_values(joint(graph))
    renamed = {value.name: array for value, array in zip(early.inputs, values.values(), strict=True)}
    for found, expected in zip(results(early, renamed), results(late, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_batch_roles(stride):
    case = ConvCase(batch=5, channels=2, filters=4, groups=2, stride=stride, activation="relu")
    graph = SHIFT(joint(case.graph("float32")))
    roles = batch_roles(graph).of
    assert {type(node.op): roles[node.outputs[0].name] for node in shifted(graph)} == {
        ShiftedMatMul: PerSample(3),
        ShiftedMatMulGradInput: PerSample(3),
        ShiftedMatMulGradWeight: PartialSum(),
    }


def test_infinite_pixels_stay_forward_where_windows_see_them():
    case = CONV_CASES["padding"]
    graph = case.graph("float64")
    values = random_values(graph)
    values["x"][0, 1, 2, 5] = np.inf
    with np.errstate(all="ignore"):
        expected, found = results(graph, values), results(SHIFT(graph), values)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10, atol=1e-10)


def test_weights_are_turned_once():
    """In training the forward and the input gradient share them; an inference has them folded."""
    model = nn.Conv2d(3, 4, 3)
    trained = convir.compile(model, (2, 3, 6, 6), conv="shift_gemm")
    turned = [node for node in trained.stages[-3].graph.nodes if node.inputs and node.inputs[0].name == "weight"]
    assert [node.op.name for node in turned] == ["transpose"]
    inferred = convir.compile(model, (2, 3, 6, 6), conv="shift_gemm", inference=True)
    assert all(node.outputs[0].type.shape != (3, 3, 4, 3) or not node.inputs for node in inferred.graph.nodes)


BAD = {
    "groups of no channels": (ShiftedMatMul(groups=2), [(3, 4, 4, 1), (2, 2, 4, 1)], "fit weight .* in 2 groups"),
    "groups of no filters": (ShiftedMatMul(groups=2), [(4, 4, 4, 1), (2, 2, 3, 2)], "fit weight .* in 2 groups"),
    "other channels": (ShiftedMatMul(), [(3, 4, 4, 1), (2, 2, 4, 2)], r"f32\[3,4,4,1\] does not fit weight"),
    "kernel over the image": (ShiftedMatMul(), [(1, 2, 9, 1), (3, 3, 1, 1)], "has no place in components"),
    "rows of other components": (ShiftedMatMul((2, 1)), [(1, 3, 9, 1), (1, 1, 1, 1)], "not those of 2 components"),
    "rank of the image": (ShiftedMatMul(), [(1, 4, 4), (3, 3, 1, 1)], r"\(C, SH\*SW\*H, W, N\)"),
    "rank of the weight": (ShiftedMatMul(), [(1, 4, 4, 1), (3, 1, 1)], r"\(KH, KW, O, C/groups\)"),
    "length of the bias": (ShiftedMatMul(), [(1, 4, 4, 1), (3, 3, 2, 1), (3,)], r"bias .*f32\[2\]"),
    "other filters": (ShiftedMatMulGradInput(), [(3, 2, 2, 1), (3, 3, 2, 1)], r"grad must be f32\[2,2,2,1\]"),
    "another result": (ShiftedMatMulGradWeight(kernel_size=(3, 3)), [(2, 3, 3, 1), (1, 4, 4, 1)], "grad must be"),
    "groups over the channels": (ShiftedMatMulGradWeight(groups=3), [(3, 4, 4, 1), (1, 4, 4, 1)], "in 3 groups"),
    "another batch": (ShiftedMatMulGradWeight(kernel_size=(3, 3)), [(2, 2, 2, 2), (1, 4, 4, 1)], "grad must be"),
}  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "message"), BAD.values(), ids=BAD.keys())
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(*(TensorType(shape) for shape in shapes))


@pytest.mark.parametrize("rows", [0, -1, True, 1.5])
def test_rows_are_a_positive_integer(rows):
    with pytest.raises(ShapeError, match="shifted_matmul: rows must be an integer of at least 1"):
        ShiftedMatMul(rows=rows)


def test_a_product_for_each_tap_by_hand():
    """Not by the loop nest: a 2x2 kernel as four shifted products."""
    rng = np.random.default_rng(0)
    image, weight = rng.standard_normal((3, 5, 6, 2)), rng.standard_normal((2, 2, 4, 3))
    (found,) = evaluate(ShiftedMatMul(rows=3), [image, weight])
    total = sum(np.tensordot(weight[k, m], image[:, k : k + 4, m : m + 5], axes=1) for k in (0, 1) for m in (0, 1))
    np.testing.assert_allclose(found, total, rtol=1e-12)


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)
        self.third = nn.Conv2d(8, 4, (1, 3), dilation=(1, 2))

    def forward(self, x):
        relu = nn.functional.relu
        return self.third(relu(self.second(relu(self.first(x)))))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_a_net_with_its_gradients(backend):
    """With Numba what has a stride, and the input gradients, have no loops: NumPy runs them among compiled steps."""
    if backend == "numba":
        pytest.importorskip("numba")
    model, shape = Net(), (3, 3, 9, 12)
    x = np.random.default_rng(0).standard_normal(shape, "float32")
    fast = convir.compile(model, shape, conv="shift_gemm", backend=backend)
    reference = convir.compile(model, shape, conv="naive")
    assert fast.lowering.refused == ()
    y = fast(x)
    np.testing.assert_allclose(y, reference(x), atol=1e-5)
    expected = reference.backward(np.ones_like(y))
    for name, grad in fast.backward(np.ones_like(y)).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
