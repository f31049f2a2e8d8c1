"""Pooling: the loops, the vectorised taps in both layouts, and PyTorch agree, forward and backward."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.graphs import assert_close, assert_leaves, assert_rewrites, graph_of, interpret, joint, results
from support.pool_cases import CASES, PoolCase, images

import convir
from convir.ir import Graph, ShapeError, TensorType, verify
from convir.ir.ops import CHWN, NCHW, AvgPool2d, Conv2d, MaxPool2d, MaxPool2dGradTaps, MaxPool2dTaps, permutation
from convir.passes.assign_layout import AssignLayout
from convir.passes.lower_conv import LowerConv
from convir.passes.lower_pool import LowerPool
from convir.runtime import evaluate

on_every_case = pytest.mark.parametrize(
    ("cls", "case"), [(cls, case) for cls, _, case in CASES], ids=[f"{cls.name}-{name}" for cls, name, _ in CASES]
)


def pooling(cls, case: PoolCase, dtype: str = "float64") -> Graph:
    """The pooling with its gradient."""
    return joint(graph_of(case.op(cls), (2, 3, *case.size), dtype=dtype))


def in_chwn(graph: Graph) -> Graph:
    """The same graph with every pooling in CHWN, between transposes."""
    order = permutation(NCHW, CHWN)
    values = {}
    builder = convir.ir.Builder("chwn")
    for value in graph.inputs:
        given_value = builder.input(value.name, value.type)
        values[value.name] = builder.emit(convir.ir.ops.Transpose(order), given_value)
    for node in graph.nodes:
        op = type(node.op)(**{**vars(node.op), "layout": CHWN})
        values[node.name] = builder.emit(op, *(values[v.name] for v in node.inputs))
    back = convir.ir.ops.Transpose(permutation(CHWN, NCHW))
    return builder.finish([builder.emit(back, values[v.name]) for v in graph.outputs], {})


def assert_taps_equal_loops(graph: Graph, image: np.ndarray) -> None:
    rng = np.random.default_rng(5)
    values = {"input": image, "y.grad": rng.standard_normal(graph.inputs[1].type.shape).astype(image.dtype)}
    expected = results(graph, values)
    tolerance = 1e-12 if image.dtype == "float64" else 1e-6
    for lowered in (LowerPool()(graph), in_chwn(LowerPool()(graph))):
        verify(lowered)
        assert_close(results(lowered, values), expected, tolerance)


@on_every_case
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_taps_equal_the_loops_in_both_layouts(cls, case, dtype):
    graph = pooling(cls, case, dtype)
    for image in images(case, dtype).values():
        assert_taps_equal_loops(graph, image)


@on_every_case
def test_pytorch_agrees(cls, case):
    torch = pytest.importorskip("torch")
    function = getattr(torch.nn.functional, cls.name)
    graph = pooling(cls, case)
    for image in images(case, "float64").values():
        x = torch.tensor(image, requires_grad=True)
        y = function(x, **case.options)
        cotangent = np.random.default_rng(1).standard_normal(tuple(y.shape))
        y.backward(torch.tensor(cotangent))
        expected = [y.detach().numpy(), x.grad.numpy()]
        values = {"input": image, "y.grad": cotangent}
        for lowered in (graph, LowerPool()(graph)):
            assert_close(results(lowered, values), expected, 1e-12)


@on_every_case
def test_compiled_pooling_equals_the_loops(cls, case):
    graph = graph_of(case.op(cls), (2, 3, *case.size))
    image = images(case, "float32")["random"]
    fast, slow = convir.compile(graph), convir.compile(graph, pool="naive")
    y, expected = fast(image), slow(image)
    assert_close([y], [expected], 1e-6)
    cotangent = np.random.default_rng(1).standard_normal(y.shape).astype("f")
    assert_close([*fast.backward(cotangent).values()], [*slow.backward(cotangent).values()], 1e-6)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(kernel=pairs, stride=pairs, more=pairs, dilation=pairs, ceil_mode=st.booleans(), data=st.data())
@settings(max_examples=60)
def test_any_max_pooling_equals_the_loops(kernel, stride, more, dilation, ceil_mode, data):
    reach = [dilation[i] * (kernel[i] - 1) + 1 for i in (0, 1)]
    padding = tuple(data.draw(st.integers(0, kernel[i] // 2)) for i in (0, 1))
    size = tuple(max(1, reach[i] - 2 * padding[i] + more[i] - 1) for i in (0, 1))
    case = PoolCase(size, kernel, stride, padding, ceil_mode, {"dilation": dilation})
    assert_taps_equal_loops(pooling(MaxPool2d, case), images(case, "float64")["ties"])


@given(kernel=pairs, stride=pairs, more=pairs, ceil_mode=st.booleans(), counted=st.booleans(), data=st.data())
@settings(max_examples=60)
def test_any_average_pooling_equals_the_loops(kernel, stride, more, ceil_mode, counted, data):
    padding = tuple(data.draw(st.integers(0, kernel[i] // 2)) for i in (0, 1))
    size = tuple(max(1, kernel[i] - 2 * padding[i] + more[i] - 1) for i in (0, 1))
    assume(all(size[i] + 2 * padding[i] >= kernel[i] for i in (0, 1)))
    case = PoolCase(size, kernel, stride, padding, ceil_mode, {"count_include_pad": counted})
    assert_taps_equal_loops(pooling(AvgPool2d, case), images(case, "float64")["random"])


def test_ties_go_to_the_first_maximum_in_row_major_order():
    image = np.array([[1, 5, 5], [5, 0, 5]], "f").reshape(1, 1, 2, 3)
    graph = joint(graph_of(MaxPool2d(kernel_size=(2, 3)), (1, 1, 2, 3)))
    values = {"input": image, "y.grad": np.full((1, 1, 1, 1), 7, "f")}
    for lowered in (graph, LowerPool()(graph), in_chwn(LowerPool()(graph))):
        y, dx = results(lowered, values)
        assert y.item() == 5
        np.testing.assert_array_equal(dx[0, 0], [[0, 7, 0], [0, 0, 0]])


def test_max_padding_is_minus_infinity():
    image = np.full((1, 1, 2, 2), -3, "f")
    for op in (MaxPool2d((1, 1), (1, 1), kernel_size=(2, 2)), MaxPool2dTaps((1, 1), (1, 1), kernel_size=(2, 2))):
        (y,) = evaluate(op, [image])
        np.testing.assert_array_equal(y, np.full((1, 1, 3, 3), -3, "f"))


def test_a_window_over_nothing_but_padding_gives_minus_infinity_and_no_gradient():
    graph = joint(graph_of(MaxPool2d((1, 1), (1, 1), (3, 3), (2, 2)), (1, 1, 2, 2)))
    values = {"input": np.ones((1, 1, 2, 2), "f"), "y.grad": np.ones((1, 1, 1, 1), "f")}
    for lowered in (graph, LowerPool()(graph)):
        y, dx = results(lowered, values)
        assert y.item() == -np.inf
        assert not dx.any()


@pytest.mark.parametrize("cls", [MaxPool2d, MaxPool2dTaps, AvgPool2d], ids=lambda cls: cls.name)
def test_nan_wins(cls):
    for position in range(4):
        image = np.arange(4, dtype="f").reshape(1, 1, 2, 2)
        image.flat[position] = np.nan
        assert np.isnan(evaluate(cls(kernel_size=(2, 2)), [image])[0].item())


@pytest.mark.parametrize("where", [(0, 0), (0, 1), (1, 1)])
def test_infinite_cotangents_stay_where_they_belong(where):
    image = np.zeros((1, 1, 2, 2), "f")
    image[0, 0][where] = 1
    graph = LowerPool()(joint(graph_of(MaxPool2d(kernel_size=(2, 2)), (1, 1, 2, 2))))
    dx = results(graph, {"input": image, "y.grad": np.full((1, 1, 1, 1), np.inf, "f")})[1]
    expected = np.zeros((2, 2), "f")
    expected[where] = np.inf
    np.testing.assert_array_equal(dx[0, 0], expected)


def test_every_pooling_and_its_gradient_are_lowered():
    graph = joint(graph_of(MaxPool2d((2, 2), kernel_size=(2, 2)), (1, 2, 4, 4)))
    assert_rewrites(
        LowerPool(),
        graph,
        """
        graph one(input: f32[1,2,4,4], y.grad: f32[1,2,2,2]) -> (f32[1,2,2,2], f32[1,2,4,4]):
          y = max_pool2d_taps(input, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), layout=NCHW) : f32[1,2,2,2]
          input.grad = max_pool2d_grad_taps(y.grad, input, y, stride=(2, 2), padding=(0, 0), kernel_size=(2, 2), \
layout=NCHW) : f32[1,2,4,4]
          return y, input.grad
        """,
    )


def test_attributes_are_carried_over():
    op = AvgPool2d((2, 1), (1, 1), kernel_size=(2, 3), ceil_mode=True, count_include_pad=False, divisor_override=4)
    lowered = LowerPool()(joint(graph_of(op, (1, 1, 5, 5))))
    for node in lowered.nodes:
        assert node.op.attributes().items() >= op.attributes().items()
    assert [node.made_by for node in lowered.nodes] == ["lower_pool", "lower_pool"]


def test_other_ops_are_left_alone():
    assert_leaves(LowerPool(), graph_of(Conv2d(), (1, 1, 3, 3), (1, 1, 2, 2)))


def test_between_lowered_convolutions_pooling_runs_in_their_layout():
    model = convir.nn.Sequential(convir.nn.Conv2d(1, 2, 3), convir.nn.MaxPool2d(2), convir.nn.Conv2d(2, 1, 2))
    graph = AssignLayout()(LowerPool()(LowerConv("im2col")(convir.trace(model, (3, 1, 8, 8)))))
    (pool,) = [node for node in graph.nodes if isinstance(node.op, MaxPool2dTaps)]
    assert pool.op.layout == CHWN


@pytest.mark.parametrize("stride", [(2, 2), (3, 3), (2, 3)])
def test_windows_that_do_not_overlap_need_no_extra_scratch(stride):
    op = MaxPool2dGradTaps(stride, kernel_size=(2, 2))
    overlapping = MaxPool2dGradTaps((1, 1), kernel_size=(2, 2))
    type = TensorType((1, 1, 2, 2))
    scratch = convir.runtime.KERNELS[MaxPool2dGradTaps].scratch
    assert len(scratch(op, [type] * 3, [type])) + 1 == len(scratch(overlapping, [type] * 3, [type]))


@pytest.mark.parametrize("padding", [(2, 0), (0, 2)])
def test_padding_over_half_the_window_is_refused(padding):
    with pytest.raises(ShapeError, match=r"padding .* is more than half of the window \(3, 3\)"):
        MaxPool2d((1, 1), padding, kernel_size=(3, 3))


def test_average_pooling_has_no_dilation():
    with pytest.raises(ShapeError, match="average pooling has no dilation"):
        AvgPool2d(dilation=(2, 2), kernel_size=(2, 2))


def test_the_running_maximum_is_not_disturbed_by_the_first_tap():
    """The first two taps are combined in one step when both see every window; here only one does."""
    image = np.arange(6, dtype="f").reshape(1, 1, 2, 3)
    op = MaxPool2d((1, 1), (0, 1), kernel_size=(1, 2))
    graph = graph_of(op, (1, 1, 2, 3))
    np.testing.assert_array_equal(
        interpret(LowerPool()(graph), {"input": image})["y"][0, 0], [[0, 1, 2, 2], [3, 4, 5, 5]]
    )
