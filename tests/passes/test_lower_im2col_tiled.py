"""The im2col_tiled strategy: the graphs it makes, its blocks and its budget, what it costs, and its ops.

That it computes the right thing is tested with all other strategies in ``test_lower_conv.py``; there everything fits
one block, and here nothing does.
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
    Conv2d,
    Conv2dGradInput,
    Conv2dGradWeight,
    ConvOp,
    Im2colMatMul,
    Im2colMatMulGradInput,
    Im2colMatMulGradWeight,
    Im2colMatMulOp,
)
from convir.passes.batch import PartialSum, PerSample, batch_roles
from convir.passes.cost import Cost, work_of
from convir.passes.differentiate import Differentiate
from convir.passes.lower_conv import LowerConv, im2col_tiled
from convir.passes.memory import plan_memory
from convir.runtime import NUMPY
from convir.runtime.preference import tiled_compiled

TILED = LowerConv("im2col_tiled")


def multiplying(graph: Graph) -> list:
    return [node for node in graph.nodes if isinstance(node.op, Im2colMatMulOp)]


def column_bytes(case: ConvCase, itemsize: int = 4) -> int:
    """Of one group."""
    return case.channels // case.groups * prod(case.kernel) * itemsize


def test_forward():
    assert_rewrites(
        TILED,
        ConvCase(padding=(2, 1), activation="relu").graph("float32"),
        """
        graph conv(x: f32[2,2,5,6], w: f32[3,2,3,2], b: f32[3]) -> f32[2,3,7,7]:
          y.transpose = transpose(x, permutation=(1, 2, 3, 0)) : f32[2,5,6,2]
          y.pad2d = pad2d(y.transpose, margins=((2, 2), (1, 1)), layout=CHWN) : f32[2,9,8,2]
          y = im2col_matmul(y.pad2d, w, b, stride=(1, 1), channels=2, columns=98, activation=relu) : f32[3,7,7,2]
          y.transpose_1 = transpose(y, permutation=(3, 0, 1, 2)) : f32[2,3,7,7]
          return y.transpose_1
        """,
        rtol=1e-5,
    )


def test_gradient_of_the_weight():
    assert_rewrites(
        TILED,
        graph_of(Conv2dGradWeight((2, 2), (1, 0), groups=2, kernel_size=(3, 2)), (2, 6, 3, 3), (2, 4, 5, 6)),
        """
        graph one(grad: f32[2,6,3,3], input: f32[2,4,5,6]) -> f32[6,2,3,2]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[6,3,3,2]
          y.transpose_1 = transpose(input, permutation=(1, 2, 3, 0)) : f32[4,5,6,2]
          y.pad2d = pad2d(y.transpose_1, margins=((1, 1), (0, 0)), layout=CHWN) : f32[4,7,6,2]
          y = im2col_matmul_grad_weight(y.transpose, y.pad2d, stride=(2, 2), groups=2, channels=4, columns=18, kernel_size=(3, 2)) : f32[6,2,3,2]
          return y
        """,  # noqa: E501
        rtol=1e-5,
    )


def test_gradient_of_the_input():
    assert_rewrites(
        TILED,
        graph_of(Conv2dGradInput((1, 2), (1, 1), input_size=(3, 5)), (2, 3, 3, 3), (3, 2, 3, 3)),
        """
        graph one(grad: f32[2,3,3,3], weight: f32[3,2,3,3]) -> f32[2,2,3,5]:
          y.transpose = transpose(grad, permutation=(1, 2, 3, 0)) : f32[3,3,3,2]
          y.im2col_matmul_grad_input = im2col_matmul_grad_input(y.transpose, weight, stride=(1, 2), channels=2, columns=18, input_size=(5, 7)) : f32[2,5,7,2]
          y.crop2d = crop2d(y.im2col_matmul_grad_input, margins=((1, 1), (1, 1)), layout=CHWN) : f32[2,3,5,2]
          y.transpose_1 = transpose(y.crop2d, permutation=(3, 0, 1, 2)) : f32[2,2,3,5]
          return y.transpose_1
        """,  # noqa: E501
        rtol=1e-5,
    )


@st.composite
def budgets(draw: st.DrawFn) -> tuple[ConvCase, int]:
    """A convolution, and a budget from two columns to more than all."""
    case = draw(conv_cases())
    columns = draw(st.sampled_from([2, 3, 4, 5, 7, 11, 16, 33, 100, 10_000]))
    return case, columns * column_bytes(case, 8) + draw(st.integers(0, 7))


@given(drawn=budgets())
@settings(max_examples=150)
def test_any_budget_gives_the_same_and_is_kept(drawn):
    """Rows, pixels and samples of one; groups, channels; blocks that are left over."""
    case, budget = drawn
    graph = joint(case.graph("float64"))
    lowered = LowerConv(im2col_tiled(budget))(graph)
    assert len(multiplying(lowered)) == 3
    for node in multiplying(lowered):
        assert sum(type.nbytes for type in NUMPY.scratch(node)) <= budget, node
    values = random_values(graph)
    for found, expected in zip(results(lowered, values), results(graph, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("batch", [1, 8, 200])
@pytest.mark.parametrize("size", [7, 28])
@pytest.mark.parametrize(("channels", "groups"), [(16, 1), (96, 1), (96, 8), (96, 96)])
def test_scratch_is_within_the_budget_whatever_the_shape(batch, size, channels, groups):
    """And most of it is used where there is more to do."""
    for kernel in (1, 3, 5):
        case = ConvCase(batch=batch, channels=channels, filters=96, groups=groups, size=(size, size),
                        kernel=(kernel, kernel), padding=(kernel // 2, kernel // 2))  # fmt: skip
        lowered = TILED(joint(case.graph("float32")))
        everything = channels * kernel**2 * size**2 * batch * 4
        for node in multiplying(lowered):
            used = sum(type.nbytes for type in NUMPY.scratch(node))
            assert used <= 2**18, node
            assert used > min(2**18, everything) / 4, node
        plan = plan_memory([lowered], NUMPY)
        assert all(plan.scratch_bytes(node.op.name) <= 2**18 for node in multiplying(lowered))


def test_blocks_by_hand():
    """As many whole rows as fit, of about one size; else pixels of a row; else samples of a pixel."""
    result = (4, 5, 6, 3)
    assert Im2colMatMul(columns=10_000).window_block(result) == (5, 6, 3)
    assert Im2colMatMul(columns=4 * 18).window_block(result) == (3, 6, 3)
    assert Im2colMatMul(columns=17).window_block(result) == (1, 3, 3)
    assert Im2colMatMul(columns=14).window_block(result) == (1, 3, 3)
    assert Im2colMatMul(columns=3).window_block(result) == (1, 1, 3)
    assert Im2colMatMul(columns=2).window_block(result) == (1, 1, 2)
    assert Im2colMatMul(columns=1).window_block(result) == (1, 1, 1)
    for op in (Im2colMatMul, Im2colMatMulGradInput, Im2colMatMulGradWeight):
        assert op(groups=6, channels=9).channel_block(2) == (3, 2)
        assert op(groups=6, channels=7).channel_block(2) == (3, 2)
        assert op(groups=6).channel_block(1) == (1, 1)
        whole = op is Im2colMatMul
        assert op(groups=6, channels=7).channel_block(9) == ((1, 9) if whole else (1, 5))


@given(
    st.builds(
        Im2colMatMulGradInput, groups=st.integers(1, 4), channels=st.integers(1, 30), columns=st.integers(1, 300)
    ),
    st.tuples(st.integers(1, 4), *[st.integers(1, 6)] * 3),
    st.integers(1, 7),
)
def test_blocks_cover_everything_once_and_are_no_larger(op, result, per_group):
    seen, made = np.zeros(result[1:], int), np.zeros((op.groups, per_group), int)
    for places in op.window_blocks(result):
        seen[places] += 1
        assert 0 < seen[places].size <= prod(op.window_block(result)) <= op.columns
    for places in op.channel_blocks(per_group):
        made[places] += 1
        assert 0 < made[places].size <= prod(op.channel_block(per_group)) <= op.channels
    assert (seen == 1).all()
    assert (made == 1).all()


@given(drawn=budgets())
@settings(max_examples=60)
def test_operations(drawn):
    """As many MACs as the loop nest, in whatever blocks; what is added up beside them."""
    case, budget = drawn
    case = replace(case, activation=None, bias=False)
    lowered = multiplying(LowerConv(im2col_tiled(budget))(joint(case.graph("float64"), "x", "w")))
    forward = lowered[0]
    positions = forward.outputs[0].type.size // case.filters
    macs = prod(case.shapes["w"]) * positions
    for node in lowered:
        if isinstance(node.op, Im2colMatMul):
            assert work_of(node).cost == Cost(macs)
        if isinstance(node.op, Im2colMatMulGradInput):
            assert work_of(node).cost == Cost(macs, case.channels * prod(case.kernel) * positions)
        if isinstance(node.op, Im2colMatMulGradWeight):
            blocks = len(list(node.op.window_blocks(node.inputs[0].type.shape)))
            assert work_of(node).cost == Cost(macs, (blocks - 1) * prod(case.shapes["w"]))


def test_bias_and_activation_are_counted():
    (node,) = multiplying(TILED(ConvCase(activation="sigmoid").graph("float32")))
    elements = 2 * 3 * 3 * 5
    assert work_of(node).cost == Cost(elements * 12, (1 + 4) * elements)
    assert work_of(node).bytes_read == 4 * (2 * 2 * 5 * 6 + 3 * 12 + 3)


def test_forward_keeps_the_channels_of_a_group_together():
    """The product sums over them; gradients take fewer, for longer rows."""
    case = ConvCase(channels=512, filters=8, size=(14, 14), kernel=(3, 3), padding=(1, 1))
    graph = TILED(joint(case.graph("float32"), "x", "w"))
    blocks = {type(node.op): (node.op.channels, node.op.columns) for node in multiplying(graph)}
    assert blocks == {
        Im2colMatMul: (512, 2**16 // (512 * 9)),
        Im2colMatMulGradInput: (18, 14 * 14 * 2),
        Im2colMatMulGradWeight: (9, 14 * 14 * 2),
    }


def test_groups_stay_whole_where_several_fit():
    """14 channels have room for 512 columns, 12 are the group, and they have room for more."""
    case = ConvCase(batch=8, channels=96, filters=96, groups=8, size=(28, 28), kernel=(3, 3), padding=(1, 1))
    for node in multiplying(TILED(joint(case.graph("float32"), "x"))):
        assert (node.op.channels, node.op.columns) == (12, 2**16 // (12 * 9))


@given(case=conv_cases())
@settings(max_examples=30)
def test_its_own_gradient_is_the_convolutions(case):
    """Differentiating what is lowered gives what lowering the derivative gives."""
    tiled = LowerConv(im2col_tiled(5 * column_bytes(case, 8)))
    graph = case.graph("float64")
    late, early = tiled(joint(graph)), Differentiate()(tiled(graph))
    values = random_values(joint(graph))
    renamed = {value.name: array for value, array in zip(early.inputs, values.values(), strict=True)}
    for found, expected in zip(results(early, renamed), results(late, values), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_batch_roles():
    case = ConvCase(batch=5, channels=2, filters=4, groups=2, stride=(2, 1), activation="relu")
    graph = LowerConv(im2col_tiled(200))(joint(case.graph("float32")))
    roles = batch_roles(graph).of
    assert {type(node.op): roles[node.outputs[0].name] for node in multiplying(graph)} == {
        Im2colMatMul: PerSample(3),
        Im2colMatMulGradInput: PerSample(3),
        Im2colMatMulGradWeight: PartialSum(),
    }


def test_a_budget_of_less_than_two_columns_is_refused():
    case = ConvCase(channels=4, filters=4, groups=2, kernel=(3, 2))
    least = 2 * 2 * 6 * 4
    assert LowerConv({"y": im2col_tiled(least)})(case.graph("float32"))
    wanted = f"it needs a budget of at least {least} bytes here, two columns of the patch matrix, and has {least - 1};"
    with pytest.raises(UnsupportedError, match=rf"im2col_tiled\({least - 1}\) cannot compute y: {wanted}"):
        LowerConv({"y": im2col_tiled(least - 1)})(case.graph("float32"))
    with pytest.raises(UnsupportedError, match=f"at least {2 * least} bytes"):
        LowerConv({"y": im2col_tiled(least)})(case.graph("float64"))


@pytest.mark.parametrize("budget", [0, -1, 1.5, True, "2 MiB", None])
def test_a_budget_is_a_positive_number_of_bytes(budget):
    with pytest.raises(UnsupportedError, match="budget of im2col_tiled is a positive number of bytes, got"):
        im2col_tiled(budget)


def test_budgets_show_in_reports():
    rows = LowerConv({"y": im2col_tiled(1000)}).lowering(CONV_CASES["plain"].graph("float32")).rows
    assert [row.strategy for row in rows] == ["im2col_tiled(1000)"]
    assert im2col_tiled(2**18).name == "im2col_tiled"


BAD = {
    "groups of no channels": (Im2colMatMul(groups=2), [(3, 4, 4, 1), (4, 1, 2, 2)], "fit weight .* in 2 groups"),
    "kernel over the image": (Im2colMatMul(), [(1, 2, 9, 1), (1, 1, 3, 3)], "kernel 3x3 is larger than"),
    "length of the bias": (Im2colMatMul(), [(1, 4, 4, 1), (2, 1, 3, 3), (3,)], r"bias .*f32\[2\]"),
    "other filters": (Im2colMatMulGradInput(input_size=(4, 4)), [(3, 2, 2, 1), (2, 1, 3, 3)], "grad must be"),
    "another image": (Im2colMatMulGradInput(input_size=(5, 4)), [(2, 2, 2, 1), (2, 1, 3, 3)], "grad must be"),
    "rank of the cotangent": (Im2colMatMulGradInput(), [(2, 2, 2), (2, 1, 3, 3)], r"\(O, OH, OW, N\)"),
    "another result": (Im2colMatMulGradWeight(kernel_size=(3, 3)), [(2, 3, 3, 1), (1, 4, 4, 1)], "grad must be"),
    "groups over the channels": (Im2colMatMulGradWeight(groups=3), [(3, 4, 4, 1), (1, 4, 4, 1)], "in 3 groups"),
}


@pytest.mark.parametrize(("op", "shapes", "message"), BAD.values(), ids=BAD.keys())
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(*(TensorType(shape) for shape in shapes))


@pytest.mark.parametrize("name", ["channels", "columns"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_blocks_have_positive_sizes(name, value):
    with pytest.raises(ShapeError, match=f"{name} must be an integer of at least 1, got {value}"):
        Im2colMatMulGradWeight(**{name: value})


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=2)

    def forward(self, x):
        return self.second(nn.functional.relu(self.first(x)))


@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow)])
def test_a_net_with_its_gradients(backend):
    """With Numba the forward is compiled; gradients have no loops, and NumPy runs them, as it says for their source."""
    if backend == "numba":
        pytest.importorskip("numba")
    model, shape = Net(), (3, 3, 9, 12)
    x = np.random.default_rng(0).standard_normal(shape, "float32")
    fast = convir.compile(model, shape, conv={"*": im2col_tiled(2000)}, backend=backend)
    reference = convir.compile(model, shape, conv="naive")
    y = fast(x)
    np.testing.assert_allclose(y, reference(x), atol=1e-5)
    if backend == "numba":
        assert "im2col_matmul" in fast.source("first")
    expected = reference.backward(np.ones_like(y))
    for name, grad in fast.backward(np.ones_like(y)).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-4, atol=1e-4, err_msg=name)


def preferred(*shapes: tuple[int, ...], op: ConvOp | None = None, **attributes) -> bool:
    """Whether it is worth preferring to direct convolution."""
    return tiled_compiled(op or Conv2d(**attributes), *(TensorType(shape) for shape in shapes))


def test_it_is_preferred_where_neighbours_fill_no_vector():
    """With a stride neighbours are images; else all pixels of a row of outputs, too."""
    assert preferred((7, 4, 9, 40), (4, 4, 3, 3), stride=(2, 2))
    assert not preferred((8, 4, 9, 40), (4, 4, 3, 3), stride=(2, 2))
    assert not preferred((7, 4, 9, 40), (4, 4, 3, 3), stride=(2, 1))
    assert preferred((1, 4, 9, 9), (4, 4, 3, 3))
    assert not preferred((1, 4, 9, 10), (4, 4, 3, 3))
    assert not preferred((2, 4, 9, 9), (4, 4, 3, 3))


def test_gradients_are_preferred_for_strided_layers_of_many_channels():
    """NumPy runs them; compiled, ``direct`` multiplies zeros."""
    for kind, more in ((Conv2dGradInput, {"input_size": (9, 9)}), (Conv2dGradWeight, {"kernel_size": (3, 3)})):
        strided, plain = kind(stride=(2, 2), **more), kind(**more)
        assert preferred((4, 32, 9, 9), (32, 32, 3, 3), op=strided)
        assert not preferred((4, 31, 9, 9), (32, 31, 3, 3), op=strided)
        assert not preferred((4, 32, 9, 9), (31, 32, 3, 3), op=strided)
        assert not preferred((1, 32, 9, 9), (32, 32, 3, 3), op=plain)


@pytest.mark.slow
def test_numba_takes_it_for_strided_layers_of_few_images():
    pytest.importorskip("numba")
    model = nn.Conv2d(8, 8, 3, stride=2, padding=1)
    for batch, expected in ((1, "im2col_tiled"), (4, "im2col_tiled"), (8, "direct")):
        compiled = convir.compile(model, (batch, 8, 12, 12), backend="numba", inference=True, threads=1)
        assert [row.strategy for row in compiled.lowering.rows] == [expected], batch
