"""Generated loops as machine code: what Numba makes of them equals the NumPy kernel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.generated import PROCESSORS, function_of, program_of, run_compiled, run_on
from support.graphs import assert_close
from support.loop_cases import LOOP_OPS, SPECIAL, loop_cases, samples_of, types_of

from convir.ir import ops
from convir.ir.ops import CHWN
from convir.loops import LOOPS
from convir.runtime import evaluate

pytest.importorskip("numba")

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
RNG = np.random.default_rng(3)


def normal(*shape: int) -> np.ndarray:
    return np.asarray(RNG.standard_normal(shape), "f4")


def assert_compiled(op, arrays, processor=PROCESSORS["avx2"]) -> None:
    types = types_of(arrays)
    if program_of(op, types) is None:
        return
    expected = evaluate(op, arrays)
    found = run_on(function_of(op, types, processor), arrays, run_compiled)
    assert_close(found, expected, TOLERANCE[expected[0].dtype.name])


_IMAGE = normal(3, 7, 6, 13)
_POOL = {"stride": (2, 2), "kernel_size": (2, 2), "layout": CHWN}
_MAXIMUM = evaluate(ops.MaxPool2dTaps(**_POOL), [_IMAGE])[0]
_LOGITS, _TARGET = normal(5, 11), np.array([0, 10, 3, 3, 1])

#: One of each kind of code: vectors over points with something left over, over what is reduced, and none.
CASES = [
    (ops.Conv2dDirect((2, 1), (1, 2), 2, "relu"), [normal(4, 7, 7, 13), normal(6, 2, 3, 2), normal(6)]),
    (ops.Conv2dDirectGradWeight(kernel_size=(3, 2)), [normal(3, 3, 3, 13), normal(2, 5, 4, 13)]),
    (ops.DepthwiseConv2d((2, 1), (1, 2), "tanh"), [normal(3, 8, 5, 13), normal(6, 1, 3, 2), normal(6)]),
    (ops.DepthwiseConv2dGradWeight(kernel_size=(3, 2)), [normal(4, 3, 3, 13), normal(2, 5, 4, 13)]),
    (ops.ShiftedMatMul((1, 1), (1, 2), 2, 3, "relu"), [normal(4, 7, 7, 13), normal(3, 2, 6, 2), normal(6)]),
    (ops.ShiftedMatMulGradWeight(kernel_size=(3, 2)), [normal(3, 3, 3, 13), normal(2, 5, 4, 13)]),
    (ops.FlipWeight(2), [normal(4, 3, 3, 2)]),
    (ops.Dilate2d((2, 3)), [normal(2, 3, 2, 9)]),
    (ops.WinogradInput((4, 2)), [normal(3, 6, 8, 13)]),
    (ops.WinogradOutput((4, 2), (3, 3), (2, 3), "relu"), [normal(24, 3, 6 * 13), normal(3)]),
    (ops.WinogradOutputGrad((4, 2)), [normal(3, 8, 4, 13)]),
    (ops.WinogradWeight((4, 2)), [normal(3, 19, 3, 3)]),
    (ops.WinogradWeightGrad((4, 2)), [normal(24, 3, 19)]),
    (ops.MatMul(True, True, "sigmoid"), [normal(10, 9), normal(13, 10), normal(13)]),
    (ops.MatMul(transpose_b=True), [normal(7, 19), normal(5, 19)]),
    (ops.Add(), [normal(3, 1, 13), normal(2, 13)]),
    (ops.Div(), [normal(5, 7), normal(5, 1)]),
    (ops.Log(), [np.abs(normal(21))]),
    (ops.Sqrt(), [np.abs(normal(21))]),
    (ops.Im2colMatMul((2, 1), channels=2, columns=7, activation="relu"), [normal(2, 5, 5, 3), normal(7, 2, 3, 2)]),
    # More terms than fill the first cache, in two parts of 19 channels and one of 2.
    (ops.Im2colMatMul(channels=40, columns=9), [normal(40, 5, 4, 3), normal(7, 40, 4, 4), normal(7)]),
    # A right operand that is copied block by block.
    (ops.MatMul(activation="relu"), [normal(33, 300), normal(300, 230), normal(33, 1)]),
    (ops.Tanh(), [normal(21)]),
    (ops.TanhGrad(), [normal(21), normal(21)]),
    (ops.SigmoidGrad(), [normal(21), normal(21)]),
    (ops.Mean((0, 2)), [normal(3, 4, 19)]),
    (ops.Max((1, 2), True), [normal(3, 4, 19)]),
    (ops.MaxPool2dTaps(**_POOL, activation="tanh"), [_IMAGE, normal(3)]),
    (ops.AvgPool2dTaps(**_POOL), [_IMAGE]),
    (ops.MaxPool2dGradTaps(**_POOL), [normal(*_MAXIMUM.shape), _IMAGE, _MAXIMUM]),
    (ops.CrossEntropy(), [_LOGITS, _TARGET]),
    (ops.CrossEntropyGrad(0), [normal(), _LOGITS.T.copy(), _TARGET.astype("i4")]),
    (ops.Transpose((1, 2, 0)), [normal(3, 4, 9)]),
    (ops.BroadcastTo((3, 2, 11)), [normal(2, 1)]),
    (ops.Pad2d(((1, 0), (2, 1)), CHWN, float("-inf")), [normal(2, 3, 2, 9)]),
    (ops.Pad2d(((0, 1), (1, 0)), CHWN, float("nan")), [normal(1, 2, 2, 5)]),
    (ops.Crop2d(((1, 0), (2, 1)), CHWN), [normal(2, 3, 5, 9)]),
    (ops.Slice2d((2, 3)), [normal(2, 4, 5, 9)]),
    (ops.Slice2dGrad((2, 3), (4, 5)), [normal(2, 2, 2, 9)]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("op", "arrays"), CASES, ids=[op.name for op, _ in CASES])
def test_machine_code_equals_the_kernel(op, arrays):
    assert_compiled(op, arrays)


def test_double_precision():
    arrays = [normal(4, 9).astype("f8"), normal(9, 5).astype("f8"), normal(5).astype("f8")]
    assert_compiled(ops.MatMul(activation="tanh"), arrays)


def test_every_rule_is_compiled_here():
    assert {LOOPS[type(op)] for op, _ in CASES} == {LOOPS[op] for op in LOOP_OPS}


#: In vectors, and one by one behind them.
_SPECIAL_PAIRS = [np.ravel(grid).astype("f4") for grid in np.meshgrid(SPECIAL, SPECIAL[[0, 1, 2, 4, 5]])]
_SPECIAL_IMAGE = np.array(RNG.choice([*SPECIAL, 3.0, 4.0], (2, 4, 4, 13)), "f4")
_SPECIAL_POOLED = evaluate(ops.MaxPool2dTaps(**_POOL), [_SPECIAL_IMAGE])[0]

SPECIAL_CASES = [
    (ops.Relu(), [np.tile(SPECIAL, 5).astype("f4")[:-1]]),
    (ops.ReluGrad(), _SPECIAL_PAIRS),
    (ops.Max((1,)), [np.array(RNG.choice(SPECIAL, (40, 19), p=[0.02, 0.1, 0.1, 0.3, 0.3, 0.18]), "f4")]),
    (ops.Max((0,)), [np.array(RNG.choice(SPECIAL, (5, 19), p=[0.02, 0.1, 0.1, 0.3, 0.3, 0.18]), "f4")]),
    (ops.MaxPool2dTaps(**_POOL, activation="relu"), [_SPECIAL_IMAGE]),
    (ops.MaxPool2dGradTaps(**_POOL), [normal(*_SPECIAL_POOLED.shape), _SPECIAL_IMAGE]),
    (ops.Exp(), [np.array([np.nan, np.inf, -np.inf, 1000.0, -1000.0, 0.0, 1.0, 2.0, 3.0], "f4")]),
    (ops.Sigmoid(), [np.array([np.nan, np.inf, -np.inf, 1000.0, -1000.0, 0.0, 1.0, 2.0, 3.0], "f4")]),
]


@pytest.mark.parametrize(("op", "arrays"), SPECIAL_CASES, ids=[op.name for op, _ in SPECIAL_CASES])
def test_nan_and_infinity_come_through_as_in_numpy(op, arrays):
    (expected,) = evaluate(op, arrays)
    (found,) = run_on(function_of(op, types_of(arrays)), arrays, run_compiled)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_target_that_is_no_class_gives_nan():
    for target in ([0, 11, 3, 3, 1], [0, 10, -1, 3, 1]):
        arrays = [_LOGITS, np.array(target)]
        (loss,) = run_on(function_of(ops.CrossEntropy(), types_of(arrays)), arrays, run_compiled)
        assert np.isnan(loss)


@pytest.mark.slow
@pytest.mark.parametrize("op_type", LOOP_OPS, ids=lambda op: op.name)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("processor", PROCESSORS.values(), ids=PROCESSORS.keys())
def test_samples_equal_the_kernel(op_type, dtype, processor):
    for op, arrays in samples_of(op_type, dtype)[:6]:
        assert_compiled(op, arrays, processor)


@pytest.mark.slow
@pytest.mark.parametrize("op_type", LOOP_OPS, ids=lambda op: op.name)
@given(data=st.data())
@settings(max_examples=6)
def test_any_shape_equals_the_kernel(op_type, data):
    dtype = data.draw(st.sampled_from([*TOLERANCE]))
    op, arrays = data.draw(loop_cases(op_type, dtype))
    assert_compiled(op, arrays, PROCESSORS[data.draw(st.sampled_from([*PROCESSORS]))])
