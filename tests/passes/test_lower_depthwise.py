"""The depthwise strategy: the graphs it makes, what they cost, and the ops of which they are made.

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
from convir import ShapeError, UnsupportedError, nn
from convir.ir import Graph, TensorType
from convir.ir.ops import (
    Conv2dGradInput,
    Conv2dGradWeight,
    DepthwiseConv2d,
    DepthwiseConv2dGradInput,
    DepthwiseConv2dGradWeight,
    DepthwiseOp,
)
from convir.passes.batch import PartialSum, PerSample, batch_roles
from convir.passes.cost import Cost, work_of
from convir.passes.differentiate import Differentiate
from convir.passes.lower_conv import LowerConv
from convir.runtime import NUMPY
from convir.runtime.kernels import kernel_for
from convir.runtime.kernels.depthwise import BLOCK_BYTES

DEPTHWISE = LowerConv("depthwise")

TAKEN = {name: case for name, case in CONV_CASES.items() if case.groups == case.channels}
on_every_case = pytest.mark.parametrize("case", TAKEN.values(), ids=TAKEN.keys())


@st.composite
def depthwise_cases(draw: st.DrawFn) -> ConvCase:
    """Any small convolution with as many groups as channels."""
    case = draw(conv_cases())
    return replace(case, channels=case.groups)


def macs(graph: Graph) -> int:
    return sum(work_of(node).macs for node in graph.nodes)


def test_forward():
    assert_rewrites(
        DEPTHWISE,
        ConvCase(channels=2, filters=4, groups=2, kernel=(3, 3), padding=(1, 1), activation="relu").graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[4,1,3,3], b: f32[4]) -> f32[2,4,5,6]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 1), (1, 1)), layout=CHWN) : f32[2,7,8,2]
          y = depthwise_conv2d(y.pad2d, w, b, stride=(1, 1), activation=relu) : f32[4,5,6,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,4,5,6]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_a_stride_divides_the_image_into_components():
    assert_rewrites(
        DEPTHWISE,
        ConvCase(channels=3, filters=3, groups=3, kernel=(3, 3), stride=(2, 2), padding=(1, 1)).graph("float32"),
        """
        graph conv(x: f32[2,3,5,6], w: f32[3,1,3,3], b: f32[3]) -> f32[2,3,3,3]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[3,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 2), (1, 1)), layout=CHWN) : f32[3,8,8,2]
          y.reshape = reshape(y.pad2d, shape=(3, 4, 2, 4, 2, -1)) : f32[3,4,2,4,2,2]
          y.transpose_1 = transpose(y.reshape, permutation=(0, 2, 4, 1, 3, 5)) : f32[3,2,2,4,4,2]
          y.reshape_1 = reshape(y.transpose_1, shape=(3, 16, 4, -1)) : f32[3,16,4,2]
          y = depthwise_conv2d(y.reshape_1, w, b, stride=(2, 2)) : f32[3,3,3,2]
          y.transpose_2 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,3,3]
          return y.transpose_2
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight():
    assert_rewrites(
        DEPTHWISE,
        graph_of(Conv2dGradWeight((1, 1), (1, 0), groups=3, kernel_size=(3, 2)), (2, 6, 5, 5), (2, 3, 5, 6)),
        """
        graph one(grad: f32[2,6,5,5], input: f32[2,3,5,6]) -> f32[6,1,3,2]:
          y.transpose = transpose(input, permutation=(1, 2, 3, 0)) : f32[3,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((1, 1), (0, 0)), layout=CHWN) : f32[3,7,6,2]
          y.transpose_1 = transpose(grad, permutation=(1, 2, 3, 0)) : f32[6,5,5,2]
          y = depthwise_conv2d_grad_weight(y.transpose_1, y.pad2d, stride=(1, 1), kernel_size=(3, 2)) : f32[6,1,3,2]
          return y
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_input_with_a_stride():
    """No zeros between the pixels of the cotangent: each component has its own taps."""
    assert_rewrites(
        DEPTHWISE,
        graph_of(Conv2dGradInput((2, 1), (1, 1), groups=2, input_size=(6, 4)), (1, 4, 3, 4), (4, 1, 3, 3)),
        """
        graph one(grad: f32[1,4,3,4], weight: f32[4,1,3,3]) -> f32[1,2,6,4]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[4,3,4,1]
          y.depthwise_conv2d_grad_input = depthwise_conv2d_grad_input(y.transpose, weight, stride=(2, 1), multiplier=2) : f32[2,8,6,1]
          y.reshape = reshape(y.depthwise_conv2d_grad_input, shape=(2, 2, 1, 4, 6, -1)) : f32[2,2,1,4,6,1]
          y.transpose_1 = transpose(y.reshape, permutation=(0, 3, 1, 4, 2, 5)) : f32[2,4,2,6,1,1]
          y.reshape_1 = reshape(y.transpose_1, shape=(2, 8, 6, -1)) : f32[2,8,6,1]
          y.crop2d = crop2d(y.reshape_1, margins=((1, 1), (1, 1)), layout=CHWN) : f32[2,6,4,1]
          y.transpose_2 = transpose(y.crop2d, permutation=(3, 0, 1, 2)) : f32[1,2,6,4]
          return y.transpose_2
        """,  # noqa: E501
        rtol=1e-5,
    )


@given(case=depthwise_cases())
@settings(max_examples=60)
def test_operations(case):
    """Runs, with the columns between the last window of a row and the first of the next; not so for weights."""
    forward = DEPTHWISE(replace(case, activation=None, bias=False).graph("float32"))
    (y,) = forward.outputs
    _, filters, rows, columns = y.type.shape
    reach = (case.kernel[1] - 1) * case.dilation[1] // case.stride[1]
    windows = rows * columns
    between = (rows - 1) * reach
    assert macs(forward) == filters * prod(case.kernel) * (windows + between) * case.batch
    grads = Conv2dGradWeight(case.stride, case.padding, case.dilation, case.groups, kernel_size=case.kernel)
    lowered = DEPTHWISE(graph_of(grads, y.type, case.shapes["x"]))
    assert macs(lowered) == filters * prod(case.kernel) * windows * case.batch
    grads = Conv2dGradInput(case.stride, case.padding, case.dilation, case.groups, input_size=case.size)
    assert macs(DEPTHWISE(graph_of(grads, y.type, case.shapes["w"]))) == macs(forward)


def test_bias_and_activation_are_counted_for_what_is_left():
    x, w, b = (TensorType(shape) for shape in ((3, 6, 5, 2), (3, 1, 3, 2), (3,)))
    builder = convir.ir.Builder("one")
    operands = [builder.input(name, type) for name, type in zip("xwb", (x, w, b), strict=True)]
    builder.emit(DepthwiseConv2d(activation="sigmoid"), *operands)
    (node,) = builder.nodes
    assert node.outputs[0].type.shape == (3, 4, 4, 2)
    assert work_of(node).cost == Cost(macs=3 * 6 * (3 * 5 + 4) * 2, pointwise=(1 + 4) * 3 * 4 * 4 * 2)
    assert work_of(node).bytes_read == 4 * (3 * 6 * 5 * 2 + 18 + 3)


def workspace(graph: Graph) -> int:
    """Bytes of what the kernels work in."""
    return sum(type.nbytes for node in graph.nodes for type in NUMPY.scratch(node))


@on_every_case
def test_no_patch_matrix(case):
    """Two runs of as many channels as fit a block; one channel at least."""
    lowered = DEPTHWISE(case.graph("float32"))
    node = next(node for node in lowered.nodes if isinstance(node.op, DepthwiseOp))
    image, result = node.inputs[0].type, node.outputs[0].type
    channel = result.nbytes // result.shape[0] * (result.shape[0] // image.shape[0])
    assert workspace(lowered) <= 2 * max(BLOCK_BYTES, image.shape[2] * channel)


def test_what_it_works_in_does_not_grow_with_the_kernel():
    for kernel in (1, 3, 5, 9):
        case = ConvCase(channels=64, filters=64, groups=64, size=(32, 32), kernel=(kernel, kernel),
                        padding=(kernel // 2, kernel // 2))  # fmt: skip
        assert BLOCK_BYTES <= workspace(DEPTHWISE(case.graph("float32"))) <= 2 * BLOCK_BYTES
        assert workspace(DEPTHWISE(joint(case.graph("float32")))) <= 5 * BLOCK_BYTES


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_blocks_of_channels(batch, multiplier):
    """More channels than a block has, the last block shorter."""
    case = ConvCase(batch=batch, channels=37, filters=37 * multiplier, groups=37, size=(41, 41), kernel=(3, 3),
                    padding=(1, 1), activation="relu")  # fmt: skip
    graph = joint(case.graph("float64"))
    lowered = DEPTHWISE(graph)
    values = random_values(graph)
    blocks = {NUMPY.scratch(node)[0].shape[0] for node in lowered.nodes if isinstance(node.op, DepthwiseConv2d)}
    assert all(1 < size < 37 and 37 % size for size in blocks) or batch * multiplier > 2
    for found, expected in zip(results(lowered, values), results(LowerConv("im2col")(graph), values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@given(case=depthwise_cases())
@settings(max_examples=30)
def test_its_own_gradient_is_the_convolutions(case):
    """Differentiating what is lowered gives what lowering the derivative gives."""
    graph = case.graph("float64")
    late, early = DEPTHWISE(joint(graph)), Differentiate()(DEPTHWISE(graph))
    values = random_values(joint(graph))
    renamed = {value.name: array for value, array in zip(early.inputs, values.values(), strict=True)}
    for found, expected in zip(results(early, renamed), results(late, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
def test_batch_roles(stride):
    case = ConvCase(batch=5, channels=2, filters=4, groups=2, stride=stride, activation="relu")
    graph = DEPTHWISE(joint(case.graph("float32")))
    roles = batch_roles(graph).of
    found = {type(node.op): roles[node.outputs[0].name] for node in graph.nodes if isinstance(node.op, DepthwiseOp)}
    assert found == {
        DepthwiseConv2d: PerSample(3),
        DepthwiseConv2dGradInput: PerSample(3),
        DepthwiseConv2dGradWeight: PartialSum(),
    }


def test_infinite_pixels_stay_where_windows_see_them():
    """A run goes through the ends of rows, but no result comes from there."""
    case = CONV_CASES["depthwise"]
    graph = joint(case.graph("float64"))
    values = random_values(graph)
    values["x"][0, 1, 2, 5] = np.inf
    with np.errstate(all="ignore"):
        expected, found = results(graph, values), results(DEPTHWISE(graph), values)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_numpy_is_left_as_it_was():
    """The kernels ask for a smaller buffer while they run, also where they fail."""
    op, image = DepthwiseConv2d(), np.full((2, 4, 4, 1), 1e300)
    types = [TensorType(image.shape, "float64"), TensorType((2, 1, 2, 2), "float64")]
    made = op.infer(*types)
    arrays = [np.empty(type.shape) for type in (*made, *kernel_for(op).scratch(op, types, made))]
    before = np.getbufsize(), np.geterr()
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        kernel_for(op).bind(op, [image, np.full((2, 1, 2, 2), 1e300)], arrays)()
    kernel_for(op).bind(op, [image, np.full((2, 1, 2, 2), 0.25)], arrays)()
    np.testing.assert_allclose(arrays[0], 1e300)
    assert (np.getbufsize(), np.geterr()) == before


@pytest.mark.parametrize(("channels", "groups"), [(4, 2), (4, 1), (2, 1)])
def test_fewer_groups_are_refused(channels, groups):
    graph = ConvCase(channels=channels, filters=4, groups=groups).graph("float32")
    wanted = rf"needs as many groups as .* channels, {channels}, and has groups={groups};"
    with pytest.raises(UnsupportedError, match=wanted):
        LowerConv({"y": "depthwise"})(graph)
    (row,) = DEPTHWISE.lowering(graph).rows
    assert (row.strategy, row.asked) == ("im2col", "depthwise")


BAD = {
    "rows of other components": (
        DepthwiseConv2d((2, 2)), [(3, 6, 4, 1), (3, 1, 2, 2)], r"rows of f32\[3,6,4,1\] are not those of 4 components"),
    "no place": (DepthwiseConv2d(), [(3, 2, 4, 1), (3, 1, 3, 3)], r"\(3, 3\) .* no place in components \(2, 4\)"),
    "filters over two channels": (DepthwiseConv2d(), [(3, 4, 4, 1), (3, 2, 2, 2)], "as many filters of its own"),
    "uneven filters": (DepthwiseConv2d(), [(3, 4, 4, 1), (4, 1, 2, 2)], "as many filters of its own"),
    "rank of the image": (DepthwiseConv2d(), [(4, 4, 1), (4, 1, 2, 2)], r"\(C, SH\*SW\*H, W, N\)"),
    "rank of the weight": (DepthwiseConv2d(), [(4, 4, 4, 1), (4, 2, 2)], r"\(C\*M, 1, KH, KW\)"),
    "length of the bias": (DepthwiseConv2d(), [(1, 4, 4, 1), (2, 1, 3, 3), (3,)], r"bias .*f32\[2\]"),
    "another multiplier": (DepthwiseConv2dGradInput(multiplier=2), [(3, 4, 4, 1), (3, 1, 2, 2)], "has not 2 filters"),
    "another cotangent": (DepthwiseConv2dGradInput(), [(2, 4, 4, 1), (3, 1, 2, 2)], r"grad must be f32\[3,4,4,1\]"),
    "another result": (DepthwiseConv2dGradWeight(kernel_size=(3, 3)), [(2, 3, 3, 1), (1, 4, 4, 1)], "grad must be"),
    "another batch": (DepthwiseConv2dGradWeight(kernel_size=(3, 3)), [(2, 2, 2, 2), (1, 4, 4, 1)], "grad must be"),
}  # fmt: skip


@pytest.mark.parametrize(("op", "shapes", "message"), BAD.values(), ids=BAD.keys())
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(*(TensorType(shape) for shape in shapes))


@pytest.mark.parametrize("multiplier", [0, -1, True, 1.5])
def test_a_multiplier_is_a_positive_integer(multiplier):
    with pytest.raises(ShapeError, match="multiplier must be an integer of at least 1"):
        DepthwiseConv2dGradInput(multiplier=multiplier)


class Separable(nn.Module):
    """MobileNet's blocks, small: one with a stride."""

    def __init__(self):
        self.first = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(4, 6, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(6, 6, 3, stride=2, padding=1, groups=6), nn.ReLU(), nn.Conv2d(6, 8, 1))

    def forward(self, x):
        return self.second(self.first(x))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_a_separable_net_with_its_gradients(backend):
    """With Numba the input gradients have no loops, and NumPy runs them among compiled steps."""
    if backend == "numba":
        pytest.importorskip("numba")
    model, shape = Separable(), (3, 4, 9, 8)
    x = np.random.default_rng(0).standard_normal(shape, "float32")
    choice = {"conv2d_[13]": "pointwise", "*": "depthwise"}
    fast = convir.compile(model, shape, conv=choice, backend=backend)
    reference = convir.compile(model, shape, conv="naive")
    assert [row.strategy for row in fast.lowering.rows] == ["depthwise", "pointwise"] * 2
    y = fast(x)
    np.testing.assert_allclose(y, reference(x), atol=1e-5)
    expected = reference.backward(np.ones_like(y))
    for name, grad in fast.backward(np.ones_like(y)).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)
