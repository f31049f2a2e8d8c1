"""The direct strategy: the graphs it makes, what they cost, and the ops of which they are made.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``.
"""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import assert_rewrites, graph_of, joint, random_values, results

from convir.ir import Graph, ShapeError, TensorType, verify
from convir.ir.ops import (
    Conv2d,
    Conv2dDirect,
    Conv2dDirectGradWeight,
    Conv2dGradInput,
    Conv2dGradWeight,
    Dilate2d,
    FlipWeight,
)
from convir.passes.batch import PartialSum, PerSample, batch_roles
from convir.passes.cost import work_of
from convir.passes.differentiate import Differentiate
from convir.passes.lower_conv import LowerConv
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY, evaluate

DIRECT = LowerConv("direct")


def macs(graph: Graph) -> int:
    return sum(work_of(node).macs for node in graph.nodes)


def test_forward():
    assert_rewrites(
        DIRECT,
        ConvCase(padding=(2, 1), activation="relu").graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,3,2], b: f32[3]) -> f32[2,3,7,7]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((2, 2), (1, 1)), layout=CHWN) : f32[2,9,8,2]
          y = conv2d_direct(y.pad2d, w, b, stride=(1, 1), activation=relu) : f32[3,7,7,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,7,7]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight():
    assert_rewrites(
        DIRECT,
        graph_of(Conv2dGradWeight((2, 2), (1, 0), kernel_size=(3, 2)), (2, 3, 3, 3), (2, 2, 5, 6)),
        """
        graph one(grad: f32[2,3,3,3], input: f32[2,2,5,6]) -> f32[3,2,3,2]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,3,2]
          y.transpose_1 = transpose(input, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose_1, margins=((1, 1), (0, 0)), layout=CHWN) : f32[2,7,6,2]
          y = conv2d_direct_grad_weight(y.transpose, y.pad2d, stride=(2, 2), kernel_size=(3, 2)) : f32[3,2,3,2]
          return y
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_input_with_a_stride():
    """Zeros between the rows, and a row more below, which the stride left over."""
    assert_rewrites(
        DIRECT,
        graph_of(Conv2dGradInput((2, 3), (1, 0), input_size=(6, 8)), (2, 3, 3, 3), (3, 2, 3, 2)),
        """
        graph one(grad: f32[2,3,3,3], weight: f32[3,2,3,2]) -> f32[2,2,6,8]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,3,2]
          y.dilate2d = dilate2d(y.transpose, stride=(2, 3)) : f32[3,5,7,2]
          y.pad2d = pad2d(y.dilate2d, margins=((1, 2), (1, 1)), layout=CHWN) : f32[3,8,9,2]
          y.flip_weight = flip_weight(weight) : f32[2,3,3,2]
          y.conv2d_direct = conv2d_direct(y.pad2d, y.flip_weight, stride=(1, 1)) : f32[2,6,8,2]
          y.transpose_1 = transpose(y.conv2d_direct, permutation=(3, 0, 1, 2)) : f32[2,2,6,8]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_input_with_more_padding_than_the_kernel_reaches():
    """What the kernel saw of the padding alone is cut off."""
    assert_rewrites(
        DIRECT,
        graph_of(Conv2dGradInput((1, 1), (3, 3), input_size=(4, 4)), (1, 1, 9, 9), (1, 1, 2, 2)),
        """
        graph one(grad: f32[1,1,9,9], weight: f32[1,1,2,2]) -> f32[1,1,4,4]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[1,9,9,1]
          y.crop2d = crop2d(y.transpose, margins=((2, 2), (2, 2)), layout=CHWN) : f32[1,5,5,1]
          y.flip_weight = flip_weight(weight) : f32[1,1,2,2]
          y.conv2d_direct = conv2d_direct(y.crop2d, y.flip_weight, stride=(1, 1)) : f32[1,4,4,1]
          y.transpose_1 = transpose(y.conv2d_direct, permutation=(3, 0, 1, 2)) : f32[1,1,4,4]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_forward_and_weight_gradient_count_the_loop_nest(case):
    graph = case.graph("float32")
    assert macs(DIRECT(graph)) == macs(graph)
    weight = joint(graph, "w")
    assert macs(DIRECT(weight)) == macs(weight)


@given(case=conv_cases())
@settings(max_examples=50)
def test_the_input_gradient_multiplies_zeros(case):
    """Every tap at every pixel of the input, whether or not a window of the forward put it there."""
    (result,) = case.op.infer(*(TensorType(shape) for shape in case.shapes.values()))
    op = Conv2dGradInput(case.stride, case.padding, case.dilation, case.groups, case.size)
    lowered = DIRECT(graph_of(op, result.shape, case.shapes["w"]))
    verify(lowered, after="lower_conv")
    per_pixel = case.filters // case.groups * prod(case.kernel)
    assert macs(lowered) == prod(case.shapes["x"]) * per_pixel


@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_no_patch_matrix(case):
    """In NumPy one shifted copy of the image, one tap's weights and one product; nothing as large as all taps."""
    graph = DIRECT(case.graph("float32"))
    node = next(node for node in graph.nodes if isinstance(node.op, Conv2dDirect))
    image, weight, result = node.inputs[0].type, node.inputs[1].type, node.outputs[0].type
    shifted = image.shape[0] * prod(result.shape[1:])
    found = [type.size for type in NUMPY.scratch(node)]
    assert found == [shifted, weight.size // prod(case.kernel), result.size]
    assert plan_memory([graph], NUMPY).scratch_bytes("conv2d_direct") <= 4 * max(found)


@given(case=conv_cases())
@settings(max_examples=30)
def test_its_own_gradient_is_the_convolutions(case):
    """Differentiating what is lowered gives what lowering the derivative gives."""
    graph = case.graph("float64")
    late, early = DIRECT(joint(graph)), Differentiate()(DIRECT(graph))
    values = random_values(joint(graph))
    renamed = {value.name: array for value, array in zip(early.inputs, values.values(), strict=True)}
    for found, expected in zip(results(early, renamed), results(late, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@given(case=conv_cases())
@settings(max_examples=20)
def test_flipping_twice_is_nothing(case):
    weight = np.random.default_rng(0).standard_normal(case.shapes["w"])
    (once,) = evaluate(FlipWeight(case.groups), [weight])
    assert once.shape == (case.channels, case.filters // case.groups, *case.kernel)
    (twice,) = evaluate(FlipWeight(case.groups), [once])
    np.testing.assert_array_equal(twice, weight)
    for c in range(case.channels):
        group, within = divmod(c, case.channels // case.groups)
        filters = weight[group * (case.filters // case.groups) :][: case.filters // case.groups, within]
        np.testing.assert_array_equal(once[c], filters[:, ::-1, ::-1])


def test_batch_roles():
    graph = DIRECT(joint(ConvCase(batch=4, stride=(2, 1)).graph("float32")))
    roles = batch_roles(graph).of
    for node in graph.nodes:
        if isinstance(node.op, Conv2dDirect | Dilate2d):
            assert roles[node.outputs[0].name] == PerSample(3)
        if isinstance(node.op, Conv2dDirectGradWeight):
            assert roles[node.outputs[0].name] == PartialSum()


def infer(op, *shapes: tuple[int, ...], dtype: str = "float32"):
    return op.infer(*(TensorType(shape, dtype) for shape in shapes))


BAD = {
    "groups of no channels": (
        Conv2dDirect(groups=2),
        [(3, 4, 4, 1), (4, 1, 2, 2)],
        "does not fit weight .* in 2 groups",
    ),
    "groups of no filters": (
        Conv2dDirect(groups=2),
        [(4, 4, 4, 1), (3, 2, 2, 2)],
        "does not fit weight .* in 2 groups",
    ),
    "other channels": (Conv2dDirect(), [(3, 4, 4, 1), (4, 2, 2, 2)], r"f32\[3,4,4,1\] does not fit weight"),
    "kernel over the image": (Conv2dDirect(), [(1, 2, 9, 1), (1, 1, 3, 3)], "kernel 3x3 is larger than"),
    "rank of the image": (Conv2dDirect(), [(1, 4, 4), (1, 1, 3, 3)], r"\(C, H, W, N\)"),
    "rank of the weight": (Conv2dDirect(), [(1, 4, 4, 1), (1, 3, 3)], r"\(O, C/groups, KH, KW\)"),
    "length of the bias": (Conv2dDirect(), [(1, 4, 4, 1), (2, 1, 3, 3), (3,)], r"bias .*f32\[2\]"),
    "another result": (Conv2dDirectGradWeight(kernel_size=(3, 3)), [(2, 3, 3, 1), (1, 4, 4, 1)], "grad"),
    "another batch": (Conv2dDirectGradWeight(kernel_size=(3, 3)), [(2, 2, 2, 2), (1, 4, 4, 1)], "grad"),
    "groups over the channels": (Conv2dDirectGradWeight(groups=3), [(3, 4, 4, 1), (1, 4, 4, 1)], "in 3 groups"),
    "flipped groups": (FlipWeight(2), [(3, 1, 2, 2)], "2 groups do not divide the 3 filters"),
    "rank of what is flipped": (FlipWeight(), [(3, 1, 2)], r"\(O, C/groups, KH, KW\)"),
    "rank of what is dilated": (Dilate2d(), [(3, 1, 2)], r"\(C, H, W, N\)"),
}


@pytest.mark.parametrize(("op", "shapes", "message"), BAD.values(), ids=BAD.keys())
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        infer(op, *shapes)


def test_the_result_types_are_the_convolutions():
    for case in CONV_CASES.values():
        (expected,) = case.op.infer(*(TensorType(shape) for shape in case.shapes.values()))
        n, c, h, w = case.shapes["x"]
        padded = (c, h + 2 * case.padding[0], w + 2 * case.padding[1], n)
        operands = [padded, *list(case.shapes.values())[1:]]
        (found,) = infer(Conv2dDirect(case.stride, case.dilation, case.groups), *operands)
        assert found.shape == (*expected.shape[1:], expected.shape[0])
        assert isinstance(case.op, Conv2d)
