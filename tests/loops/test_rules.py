"""Every op's loops: as they are written down, as plain Python under any schedule; both equal the NumPy kernel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import PROCESSORS, function_of, operands_of, program_of, run_on, run_plain
from support.loop_cases import LOOP_OPS, SPECIAL, loop_cases, samples_of, types_of
from support.loop_checks import TOLERANCE, assert_plain, assert_written_down
from support.schedules import schedules

from convir.ir import OPS, TensorType, ops
from convir.loops import LOOPS, program_for
from convir.runtime import evaluate

on_every_op = pytest.mark.parametrize("op_type", LOOP_OPS, ids=lambda op: op.name)
on_every_dtype = pytest.mark.parametrize("dtype", TOLERANCE)


def test_rules_are_for_ops_that_exist():
    assert set(LOOPS) <= set(OPS.values())


def test_every_rule_is_tested_here():
    """A region has no loops of its own."""
    assert {op.name for op in LOOPS} - {"region"} == {op.name for op in LOOP_OPS}


@on_every_op
@on_every_dtype
def test_samples_as_they_are_written_down(op_type, dtype):
    for op, arrays in samples_of(op_type, dtype):
        assert_written_down(op, arrays)


@on_every_op
@given(data=st.data())
@settings(max_examples=12)
def test_any_shape_as_it_is_written_down(op_type, data):
    assert_written_down(*data.draw(loop_cases(op_type)))


@on_every_op
@on_every_dtype
@pytest.mark.parametrize("processor", ["sse", "avx512"])
def test_samples_as_plain_python(op_type, dtype, processor):
    for op, arrays in samples_of(op_type, dtype):
        assert_plain(op, arrays, PROCESSORS[processor])


@on_every_op
@on_every_dtype
@given(data=st.data())
@settings(max_examples=8)
def test_any_shape_as_plain_python(op_type, dtype, data):
    op, arrays = data.draw(loop_cases(op_type, dtype))
    assert_plain(op, arrays, PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]))])


@on_every_op
@given(data=st.data())
@settings(max_examples=12)
def test_any_schedule_as_plain_python(op_type, data):
    op, arrays = data.draw(loop_cases(op_type))
    assert_plain(op, arrays, schedule=lambda nest: data.draw(schedules(nest), label="schedule"))


@pytest.mark.slow
@on_every_op
@on_every_dtype
@given(data=st.data())
@settings(max_examples=200)
def test_very_many_shapes_and_schedules(op_type, dtype, data):
    op, arrays = data.draw(loop_cases(op_type, dtype))
    assert_written_down(op, arrays)
    assert_plain(op, arrays, PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]))])
    assert_plain(op, arrays, schedule=lambda nest: data.draw(schedules(nest), label="schedule"))


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (ops.DepthwiseConv2d(), [(1, 9, 9, 1), (1, 1, 6, 5)]),  # too many taps to write out
        (ops.DepthwiseConv2dGradWeight((2, 1), kernel_size=(1, 1)), [(1, 2, 2, 1), (1, 4, 2, 1)]),
        (ops.ShiftedMatMul((1, 2)), [(1, 4, 2, 1), (1, 1, 1, 1)]),
        (ops.ShiftedMatMulGradWeight((2, 2)), [(1, 1, 2, 1), (1, 4, 2, 1)]),
    ],
    ids=lambda part: str(part)[:60],
)
def test_convolutions_that_loops_leave_to_numpy(op, shapes):
    """A component is no affine function of the tap."""
    assert program_of(op, [TensorType(shape) for shape in shapes]) is None


#: Poolings that loops leave to NumPy.
REFUSED = [
    (ops.MaxPool2dTaps((2, 2), (1, 1), kernel_size=(3, 3)), [(1, 1, 6, 6)]),
    (ops.MaxPool2dTaps((2, 2), kernel_size=(2, 2), ceil_mode=True), [(1, 1, 5, 5)]),
    (ops.AvgPool2dTaps((2, 2), (1, 1), kernel_size=(3, 3)), [(1, 1, 6, 6)]),
    (ops.MaxPool2dGradTaps((1, 1), kernel_size=(2, 2)), [(1, 1, 3, 3), (1, 1, 4, 4)]),  # overlapping windows
    (ops.MaxPool2dGradTaps((2, 2), dilation=(2, 1), kernel_size=(2, 2)), [(1, 1, 1, 2), (1, 1, 4, 4)]),
]


@pytest.mark.parametrize(("op", "shapes"), REFUSED, ids=lambda part: str(part)[:60])
def test_windows_over_the_edge_have_no_loops(op, shapes):
    assert program_of(op, [TensorType(shape) for shape in shapes]) is None


def test_an_op_without_a_rule_has_no_loops():
    assert program_for(ops.Im2col((2, 2)), *operands_of(ops.Im2col((2, 2)), [TensorType((1, 3, 3, 1))])) is None


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize(
    "op", [ops.Transpose((1, 0, 2, 3)), ops.BroadcastTo((2, 1, 2, 2)), ops.Pad2d(((1, 1), (0, 0))), ops.Crop2d()]
)
def test_integers_are_moved_by_numpy(op, dtype):
    """Loops compute in floating point, which has not all integers: 2**24 + 1 would become 2**24."""
    assert program_of(op, [TensorType((1, 1, 2, 2), dtype)]) is None


def test_a_pooling_of_many_taps_has_no_gradient_loops():
    """Each tap looks at those before it: the source would grow with the square of their number."""
    op = ops.MaxPool2dGradTaps((5, 5), kernel_size=(5, 5))
    assert program_of(op, [TensorType((1, 1, 2, 2)), TensorType((1, 1, 10, 10))]) is None
    largest = ops.MaxPool2dGradTaps((4, 4), kernel_size=(4, 4))
    assert len(function_of(largest, [TensorType((1, 1, 2, 2)), TensorType((1, 1, 8, 8))]).source) < 50_000


def test_margins_may_hold_any_number():
    for value in (np.nan, np.inf, -np.inf, -0.0, 1e-45, 3):
        assert_plain(ops.Pad2d(((1, 0), (2, 1)), value=value), [np.ones((2, 1, 3, 5), "f4")])


@pytest.mark.parametrize("op_type", [ops.Relu, ops.Sigmoid, ops.Tanh, ops.Exp, ops.Log, ops.Sqrt, ops.Neg])
@on_every_dtype
def test_special_values_of_functions(op_type, dtype):
    """Once in vectors and once one by one, behind them."""
    assert_plain(op_type(), [np.tile(SPECIAL, 7).astype(dtype)])
    assert_plain(op_type(), [np.array(value, dtype) for value in SPECIAL[:1]])


@pytest.mark.parametrize("op_type", [ops.Add, ops.Sub, ops.Mul, ops.Div, ops.ReluGrad, ops.SigmoidGrad, ops.TanhGrad])
@on_every_dtype
def test_special_values_of_two_operands(op_type, dtype):
    a, b = np.meshgrid(SPECIAL.astype(dtype), SPECIAL.astype(dtype))
    assert_plain(op_type(), [np.ravel(a).copy(), np.ravel(b).copy()])


@st.composite
def with_special_values(draw, op_type, dtype="float64"):
    """A case in which some elements of each floating-point operand are NaN or infinite."""
    op, arrays = draw(loop_cases(op_type, dtype))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for array in arrays:
        if array.dtype.kind == "f":
            hit = rng.random(array.shape) < 0.1
            array[hit] = rng.choice([np.nan, np.inf, -np.inf], array.shape)[hit]
    return op, arrays


#: Ops in which a comparison or a maximum could lose NaN.
COMPARING = [ops.Max, ops.MaxPool2dTaps, ops.MaxPool2dGradTaps, ops.Relu, ops.ReluGrad, ops.AvgPool2dTaps, ops.Sum]
COMPARING += [ops.CrossEntropy, ops.CrossEntropyGrad]


@pytest.mark.parametrize("op_type", COMPARING, ids=lambda op: op.name)
@given(data=st.data())
@settings(max_examples=25)
def test_nan_and_infinity_come_through_as_in_numpy(op_type, data):
    op, arrays = data.draw(with_special_values(op_type))
    if program_of(op, types_of(arrays)) is None:
        return
    (expected,) = evaluate(op, arrays)
    schedule = (lambda nest: data.draw(schedules(nest), label="schedule")) if data.draw(st.booleans()) else None
    (found,) = run_on(function_of(op, types_of(arrays), schedule=schedule), arrays, run_plain)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
