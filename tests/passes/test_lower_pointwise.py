"""The pointwise strategy: the graphs it makes and what they cost.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conv_cases import CONV_CASES, ConvCase
from support.graphs import assert_rewrites, graph_of, joint

import convir
from convir import UnsupportedError, nn
from convir.ir import Builder, Graph, TensorType
from convir.ir.ops import Conv2dGradInput, Conv2dGradWeight, Im2col, Slice2d
from convir.passes.batch import PerSample, batch_roles
from convir.passes.cost import Work, work_of
from convir.passes.lower_conv import LowerConv
from convir.passes.lower_conv.layout import TO_CHWN
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY

POINTWISE = LowerConv("pointwise")

ONE_BY_ONE = {name: case for name, case in CONV_CASES.items() if case.kernel == (1, 1)}
on_every_case = pytest.mark.parametrize("case", ONE_BY_ONE.values(), ids=ONE_BY_ONE.keys())


def total(graph: Graph) -> Work:
    return Work.total(map(work_of, graph.nodes))


def test_stride_and_padding():
    """The zeros of the padding are pixels as all others; what the stride leaves out is left out by a copy."""
    assert_rewrites(
        POINTWISE,
        ConvCase(kernel=(1, 1), stride=(2, 3), padding=(1, 0), activation="relu").graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,1,1], b: f32[3]) -> f32[2,3,4,2]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 1), (0, 0)), layout=CHWN) : f32[2,7,6,2]
          y.slice2d = slice2d(y.pad2d, stride=(2, 3)) : f32[2,4,2,2]
          y.reshape = reshape(y.slice2d, shape=(2, -1)) : f32[2,16]
          y.reshape_1 = reshape(b, shape=(3, -1)) : f32[3,1]
          y.reshape_2 = reshape(w, shape=(3, -1)) : f32[3,2]
          y.matmul = matmul(y.reshape_2, y.reshape, y.reshape_1, activation=relu) : f32[3,16]
          y = reshape(y.matmul, shape=(3, 4, 2, 2)) : f32[3,4,2,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,4,2]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_groups_are_a_product_each():
    assert_rewrites(
        POINTWISE,
        ConvCase(channels=4, filters=6, groups=2, kernel=(1, 1), bias=False).graph("float32"),
        """
        graph conv(x: f32[2,4,5,6], w: f32[6,2,1,1]) -> f32[2,6,5,6]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[4,5,6,2]
          y.reshape = reshape(y.transpose, shape=(2, 2, -1)) : f32[2,2,60]
          y.reshape_1 = reshape(w, shape=(2, 3, -1)) : f32[2,3,2]
          y.matmul = matmul(y.reshape_1, y.reshape) : f32[2,3,60]
          y = reshape(y.matmul, shape=(6, 5, 6, 2)) : f32[6,5,6,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,6,5,6]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight():
    assert_rewrites(
        POINTWISE,
        graph_of(Conv2dGradWeight((2, 2)), (2, 3, 3, 2), (2, 2, 5, 4)),
        """
        graph one(grad: f32[2,3,3,2], input: f32[2,2,5,4]) -> f32[3,2,1,1]:
          y.transpose = transpose(input, permutation=(1, 2, 3, 0)) : f32[2,5,4,2]
          y.slice2d = slice2d(y.transpose, stride=(2, 2)) : f32[2,3,2,2]
          y.reshape = reshape(y.slice2d, shape=(2, -1)) : f32[2,12]
          y.transpose_1 = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,2,2]
          y.reshape_1 = reshape(y.transpose_1, shape=(3, -1)) : f32[3,12]
          y.matmul = matmul(y.reshape_1, y.reshape, transpose_b=True) : f32[3,2]
          y = reshape(y.matmul, shape=(3, 2, 1, 1)) : f32[3,2,1,1]
          return y
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_input():
    """Zeros between the pixels, and two columns more that the stride left over; then the padding is cut off."""
    assert_rewrites(
        POINTWISE,
        graph_of(Conv2dGradInput((2, 3), (1, 0), input_size=(5, 6)), (2, 3, 4, 2), (3, 2, 1, 1)),
        """
        graph one(grad: f32[2,3,4,2], weight: f32[3,2,1,1]) -> f32[2,2,5,6]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,4,2,2]
          y.reshape = reshape(weight, shape=(3, -1)) : f32[3,2]
          y.reshape_1 = reshape(y.transpose, shape=(3, -1)) : f32[3,16]
          y.matmul = matmul(y.reshape, y.reshape_1, transpose_a=True) : f32[2,16]
          y.reshape_2 = reshape(y.matmul, shape=(2, 4, 2, 2)) : f32[2,4,2,2]
          y.slice2d_grad = slice2d_grad(y.reshape_2, stride=(2, 3), input_size=(7, 6)) : f32[2,7,6,2]
          y.crop2d = crop2d(y.slice2d_grad, margins=((1, 1), (0, 0)), layout=CHWN) : f32[2,5,6,2]
          y.transpose_1 = transpose(y.crop2d, permutation=(3, 0, 1, 2)) : f32[2,2,5,6]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_without_stride_and_padding_nothing_is_moved():
    """Behind and before transposes that cancel, views and products are all there is."""
    lowered = POINTWISE(joint(ConvCase(kernel=(1, 1), bias=False).graph("float32")))
    assert sorted({node.op.name for node in lowered.nodes}) == ["matmul", "reshape", "transpose"]


@on_every_case
def test_as_many_operations_as_the_loop_nest(case):
    """Forward and both gradients, padding counted: N * OH * OW * O * C/groups MACs each."""
    graph = case.graph("float32")
    (y,) = graph.outputs
    macs = y.type.size * case.channels // case.groups
    assert total(POINTWISE(graph)).cost == total(graph).cost
    assert [total(POINTWISE(joint(graph, *wrt))).macs for wrt in ([], ["w"], ["x"])] == [3 * macs, 2 * macs, 2 * macs]


@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.tuples(st.integers(1, 4), st.integers(1, 4)))
def test_a_stride_copies_what_it_leaves_and_nothing_else(channels, height, width, stride):
    case = ConvCase(channels=channels, size=(height, width), kernel=(1, 1), stride=stride, bias=False)
    lowered = POINTWISE(case.graph("float32"))
    kept = channels * -(-height // stride[0]) * -(-width // stride[1]) * case.batch * 4
    slices = [work_of(node) for node in lowered.nodes if node.op.name == "slice2d"]
    expected = [] if stride == (1, 1) else [(kept, kept)]
    assert [(work.bytes_read, work.bytes_written) for work in slices] == expected


@on_every_case
def test_no_scratch_but_the_pixels_and_the_product(case):
    """No buffer is larger than the largest of padded image and result, and none is a patch matrix."""
    graph = case.graph("float32")
    lowered = POINTWISE(graph)
    assert not any(isinstance(node.op, Im2col) for node in lowered.nodes)
    padded = case.channels * prod(case.size[i] + 2 * case.padding[i] for i in (0, 1)) * case.batch
    largest = max(padded, graph.outputs[0].type.size) * 4
    assert max(buffer.nbytes for buffer in plan_memory([lowered], NUMPY).buffers) <= largest


def test_what_a_stride_leaves_has_a_batch():
    """The matrices behind it have samples and pixels along one axis: ask for the roles before lowering."""
    builder = Builder("slices")
    image = builder.input("x", TensorType((4, 2, 5, 6)))
    lowered = builder.finish([builder.emit(Slice2d((2, 1)), builder.emit(TO_CHWN, image))], {})
    assert batch_roles(lowered).outputs == (PerSample(3),)


@pytest.mark.parametrize("kernel", [(1, 2), (2, 1), (3, 3)])
def test_larger_kernels_are_refused(kernel):
    graph = ConvCase(kernel=kernel).graph("float32")
    wanted = rf"pointwise cannot compute y: it needs a 1x1 kernel, and this one is {kernel[0]}x{kernel[1]}"
    with pytest.raises(UnsupportedError, match=wanted):
        LowerConv({"y": "pointwise"})(graph)
    (row,) = POINTWISE.lowering(graph).rows
    assert (row.strategy, row.asked) == ("im2col", "pointwise")


class Bottleneck(nn.Module):
    """A ResNet's block, small."""

    def __init__(self):
        self.reduce = nn.Conv2d(8, 4, 1, stride=2)
        self.spatial = nn.Conv2d(4, 4, 3, padding=1)
        self.expand = nn.Conv2d(4, 8, 1)
        self.shortcut = nn.Conv2d(8, 8, 1, stride=2)

    def forward(self, x):
        y = nn.functional.relu(self.spatial(nn.functional.relu(self.reduce(x))))
        return nn.functional.relu(self.expand(y) + self.shortcut(x))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_a_bottleneck_with_its_gradients(backend):
    if backend == "numba":
        pytest.importorskip("numba")
    model, shape = Bottleneck(), (3, 8, 7, 7)
    x = np.random.default_rng(0).standard_normal(shape, "float32")
    fast, reference = (convir.compile(model, shape, conv=conv, backend=b) for conv, b in
                       [("pointwise", backend), ("naive", "numpy")])  # fmt: skip
    assert [row.node for row in fast.lowering.refused] == ["spatial"]
    y = fast(x)
    np.testing.assert_allclose(y, reference(x), atol=1e-5)
    expected = reference.backward(np.ones_like(y))
    for name, grad in fast.backward(np.ones_like(y)).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
