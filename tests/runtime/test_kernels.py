"""Kernels against NumPy, on arrays full of rubbish beforehand; running them allocates nothing."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.gradient_samples import SAMPLES

import convir
from convir import DTypeError, ExecutionError, ShapeError, TensorType, UnsupportedError
from convir.ir import Op
from convir.ir.ops import (
    AvgPool2dTaps,
    Col2im,
    Constant,
    Crop2d,
    CrossEntropy,
    CrossEntropyGrad,
    DropoutMask,
    Im2col,
    MatMul,
    Max,
    MaxPool2dGradTaps,
    MaxPool2dTaps,
    Mean,
    Pad2d,
    Region,
    Relu,
    ReluGrad,
    Sigmoid,
    Slice2d,
    Sum,
    Tanh,
)
from convir.runtime import KERNELS, evaluate
from convir.runtime.kernels import kernel_for

EVERY = [
    pytest.param(op, operands, id=f"{cls.name}-{index}")
    for cls, samples in SAMPLES.items()
    for index, (op, operands) in enumerate(samples)
    if not cls.view and cls is not Constant
]


def bound(op: Op, operands, byte: int = 0):
    """The step of ``op`` and its results, all bytes that it writes set beforehand."""
    types = [TensorType(array.shape, array.dtype.name) for array in operands]
    results = op.infer(*types)
    scratch = kernel_for(op).scratch(op, types, results)
    arrays = [np.empty(type.shape, type.dtype) for type in (*results, *scratch)]
    for array in arrays:
        array.reshape(-1).view("uint8")[:] = byte
    return kernel_for(op).bind(op, operands, arrays), arrays[: len(results)]


@pytest.mark.parametrize(("op", "operands"), EVERY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_was_in_the_memory_before_does_not_matter(op, operands, dtype):
    if isinstance(op, Region) and dtype != "float64":
        pytest.skip("the types of a region are its body's")
    operands = [array.astype(dtype) if array.dtype.kind == "f" else array for array in operands]
    before = [array.copy() for array in operands]
    convir.manual_seed(1)
    expected = evaluate(op, operands)
    for byte in (0x00, 0x5A, 0xFF):
        step, results = bound(op, operands, byte)
        for _ in range(2):
            convir.manual_seed(1)
            step()
            for found, wanted in zip(results, expected, strict=True):
                np.testing.assert_array_equal(found, wanted)
                assert found.dtype == dtype
    for array, copy in zip(operands, before, strict=True):
        np.testing.assert_array_equal(array, copy, "operands are only read")


@pytest.mark.parametrize(("op", "operands"), [p for p in EVERY if p.values[0].inplace])
def test_ops_that_say_so_may_write_over_an_operand(op, operands):
    (result,) = op.infer(*(TensorType(array.shape, array.dtype.name) for array in operands))
    (expected,) = evaluate(op, operands)
    for slot in op.inplace:
        if operands[slot].shape != result.shape:
            continue
        arrays = [array.copy() for array in operands]
        types = [TensorType(array.shape, array.dtype.name) for array in operands]
        scratch = [np.empty(t.shape, t.dtype) for t in kernel_for(op).scratch(op, types, [result])]
        kernel_for(op).bind(op, arrays, [arrays[slot], *scratch])()
        np.testing.assert_array_equal(arrays[slot], expected)


@pytest.mark.parametrize("op", [Relu(), ReluGrad(), Sigmoid(), Tanh()], ids=lambda op: op.name)
def test_special_numbers(op):
    x = np.array([-np.inf, -1e30, -0.0, 0.0, 1e30, np.inf, np.nan], "f")
    operands = [np.full_like(x, 2), x] if isinstance(op, ReluGrad) else [x]
    expected = {
        "relu": [0, 0, 0, 0, x[4], np.inf, np.nan],
        "relu_grad": [0, 0, 0, 0, 2, 2, 0],
        "sigmoid": [0, 0, 0.5, 0.5, 1, 1, np.nan],
        "tanh": [-1, -1, 0, 0, 1, 1, np.nan],
    }
    np.testing.assert_array_equal(evaluate(op, operands)[0], np.array(expected[op.name], "f"))


def test_infinite_cotangents_do_not_leak_through_relu():
    (dx,) = evaluate(ReluGrad(), [np.array([np.inf, -np.inf, np.nan], "f"), np.array([-1, 0, -2], "f")])
    np.testing.assert_array_equal(dx, [0, 0, 0])


@pytest.mark.parametrize("axes", [(), (0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize(("op", "function"), [(Sum, np.sum), (Mean, np.mean), (Max, np.max)])
def test_reductions(op, function, axes):
    x = np.random.default_rng(0).standard_normal((3, 1, 4))
    for keepdims in (False, True):
        np.testing.assert_allclose(evaluate(op(axes, keepdims), [x])[0], function(x, axis=axes, keepdims=keepdims))


def test_long_sums_stay_accurate():
    x = np.full((1, 1_000_000), 0.1, "f")
    assert evaluate(Sum((0, 1)), [x])[0] == pytest.approx(1e5, rel=1e-6)


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(("lead_a", "lead_b"), [((), ()), ((2,), ()), ((), (2,)), ((2, 1), (3,))])
def test_matmul(transpose_a, transpose_b, lead_a, lead_b):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((*lead_a, 3, 4)), rng.standard_normal((*lead_b, 4, 5))
    given = [a.swapaxes(-1, -2) if transpose_a else a, b.swapaxes(-1, -2) if transpose_b else b]
    (y,) = evaluate(MatMul(transpose_a, transpose_b), given)
    np.testing.assert_allclose(y, a @ b, rtol=1e-12)


def test_patches_hold_every_pixel_that_a_window_sees():
    image = np.arange(2 * 5 * 4 * 3, dtype="d").reshape(2, 5, 4, 3)
    op = Im2col((2, 3), (2, 1), (2, 1))
    (patches,) = evaluate(op, [image])
    by_index = patches.reshape(2, 2, 3, 2, 2, 3)
    for c, k, m, i, j, n in np.ndindex(by_index.shape):
        assert by_index[c, k, m, i, j, n] == image[c, i * 2 + k * 2, j + m, n]


def test_col2im_is_the_adjoint_of_im2col():
    rng = np.random.default_rng(0)
    op, back = Im2col((2, 3), (2, 1), (1, 2)), Col2im((2, 3), (2, 1), (1, 2), (6, 7))
    image, patches = rng.standard_normal((2, 6, 7, 3)), rng.standard_normal((12, 27))
    assert np.vdot(evaluate(op, [image])[0], patches) == pytest.approx(np.vdot(image, evaluate(back, [patches])[0]))


def test_pad_and_crop_are_inverse():
    x = np.arange(12, dtype="f").reshape(1, 1, 3, 4)
    margins = ((1, 2), (0, 3))
    (padded,) = evaluate(Pad2d(margins, value=9), [x])
    np.testing.assert_array_equal(padded, np.pad(x, ((0, 0), (0, 0), *margins), constant_values=9))
    np.testing.assert_array_equal(evaluate(Crop2d(margins), [padded])[0], x)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (1, 3), (5, 4), (9, 9)])
def test_slicing_is_numpys(stride):
    x = np.arange(2 * 5 * 4 * 3, dtype="f").reshape(2, 5, 4, 3)
    np.testing.assert_array_equal(evaluate(Slice2d(stride), [x])[0], x[:, :: stride[0], :: stride[1]])


def test_cross_entropy_is_the_mean_of_minus_log_softmax():
    rng = np.random.default_rng(0)
    logits, target = rng.standard_normal((5, 3)), np.array([0, 2, 1, 1, 0])
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    (loss,) = evaluate(CrossEntropy(), [logits, target])
    assert loss == pytest.approx(-np.log(softmax[np.arange(5), target]).mean(), rel=1e-12)
    (gradient,) = evaluate(CrossEntropyGrad(), [np.array(2.0), logits, target])
    np.testing.assert_allclose(gradient, 2 * (softmax - np.eye(3)[target]) / 5, rtol=1e-12)


@pytest.mark.parametrize("shift", [1000.0, -1000.0])
def test_large_logits_do_not_overflow(shift):
    logits, target = np.array([[1, 2, 3]], "f") + np.float32(shift), np.array([0])
    (loss,) = evaluate(CrossEntropy(), [logits, target])
    assert loss == pytest.approx(2.407606, rel=1e-5)
    (gradient,) = evaluate(CrossEntropyGrad(), [np.array(1, "f"), logits, target])
    np.testing.assert_allclose(gradient, [[0.09003057 - 1, 0.24472847, 0.66524096]], rtol=1e-5)


@pytest.mark.parametrize("op", [CrossEntropy(), CrossEntropyGrad()], ids=lambda op: op.name)
@pytest.mark.parametrize(("target", "named"), [([0, 3], 3), ([-1, 0], -1), ([2**40, 0], 2**40)])
def test_a_class_that_does_not_exist_is_named(op, target, named):
    operands = [np.zeros((2, 3), "f"), np.array(target)]
    operands = operands if isinstance(op, CrossEntropy) else [np.array(1, "f"), *operands]
    with pytest.raises(ExecutionError, match=rf"{op.name}: target holds class {named}, .* 3 classes, 0 to 2"):
        evaluate(op, operands)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dropout_masks(dtype):
    x = np.zeros((200, 50), dtype)
    (mask,) = evaluate(DropoutMask(0.25), [x])
    assert sorted(set(mask.ravel().tolist())) == pytest.approx([0, 1 / 0.75])
    assert np.mean(mask == 0) == pytest.approx(0.25, abs=0.02)
    assert not evaluate(DropoutMask(1.0), [x])[0].any()
    assert (evaluate(DropoutMask(0.0), [x])[0] == 1).all()
    assert evaluate(DropoutMask(0.0), [np.array(3, dtype)])[0] == 1


def test_masks_follow_the_seed():
    draw = lambda: evaluate(DropoutMask(0.5), [np.zeros(100)])[0]  # noqa: E731
    convir.manual_seed(3)
    first, second = draw(), draw()
    convir.manual_seed(3)
    np.testing.assert_array_equal(draw(), first)
    assert (first != second).any()


def test_evaluate_gives_arrays_of_its_own():
    x = np.arange(6, dtype="f").reshape(2, 3).T
    (view,) = evaluate(convir.ir.ops.Reshape((6,)), [x])
    view[:] = 0
    assert x.max() == 5
    np.testing.assert_array_equal(evaluate(Relu(), [x])[0], x)


def test_evaluate_checks_its_operands():
    with pytest.raises(ShapeError):
        evaluate(MatMul(), [np.zeros((2, 3)), np.zeros((2, 3))])
    with pytest.raises(DTypeError):
        evaluate(Relu(), [np.zeros(3, "int64")])


def test_an_op_without_kernel_is_named():
    class Unknown(Op):
        operand_names = ("input",)

        def infer(self, *operands):
            return operands

    with pytest.raises(UnsupportedError, match=r"has no NumPy kernel; register one with @kernel\(Unknown\)"):
        evaluate(Unknown(), [np.zeros(2)])


ALLOCATING = [
    (Sum((0,)), lambda n: [np.ones((n, 300), "f")]),
    (Mean((1,)), lambda n: [np.ones((n, 300), "f")]),
    (Max((0, 1)), lambda n: [np.ones((n, 300), "f")]),
    (MatMul(transpose_a=True, activation="sigmoid"), lambda n: [np.ones((300, n), "f"), np.ones((300, 90), "f")]),
    (MatMul(), lambda n: [np.ones((4, n, 30), "f"), np.ones((4, 30, 90), "f"), np.ones((4, 1, 90), "f")]),
    (Im2col((3, 3)), lambda n: [np.ones((4, 8, 8, n), "f")]),
    (Col2im((3, 3), input_size=(8, 8)), lambda n: [np.ones((36, 6 * 6 * n), "f")]),
    (CrossEntropy(), lambda n: [np.ones((10 * n, 10), "f"), np.zeros(10 * n, "int64")]),
    (CrossEntropyGrad(), lambda n: [np.array(1, "f"), np.ones((10 * n, 10), "f"), np.zeros(10 * n, "int64")]),
    (DropoutMask(0.5), lambda n: [np.ones((n, 300), "f")]),
    (ReluGrad(), lambda n: [np.ones((n, 300), "f")] * 2),
    (MaxPool2dTaps((2, 2), kernel_size=(3, 3)), lambda n: [np.ones((2, 2, n, 33), "f")]),
    (AvgPool2dTaps((2, 2), kernel_size=(2, 2)), lambda n: [np.ones((2, 2, n, 33), "f")]),
    (MaxPool2dGradTaps((1, 1), kernel_size=(2, 2)),
     lambda n: [np.ones((2, 2, n, 32), "f"), np.ones((2, 2, n + 1, 33), "f"), np.ones((2, 2, n, 32), "f")]),
]  # fmt: skip


def peak_of(step) -> int:
    """Bytes that a run needs on top; NumPy's iterators take some for themselves, of a fixed size."""
    step()
    tracemalloc.start()
    step()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize(("op", "operands"), ALLOCATING, ids=[op.name for op, _ in ALLOCATING])
def test_what_a_step_allocates_does_not_grow_with_its_operands(op, operands):
    small, large = (peak_of(bound(op, operands(n))[0]) for n in (600, 1800))
    assert large < max(small, 68_000) + 1000


def test_every_kernel_is_registered_for_an_op():
    assert all(issubclass(cls, Op) for cls in KERNELS)
