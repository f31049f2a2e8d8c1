"""Fourier transforms and complex products beside NumPy's own; operands and attributes that they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convir.ir import DTypeError, ShapeError, TensorType
from convir.ir.ops import ComplexMatMul, Dft2d, DftOp, Idft2d
from convir.runtime import evaluate

planes = st.tuples(st.integers(1, 9), st.integers(1, 9))
samples = st.tuples(st.integers(1, 5), st.integers(1, 5))
offsets = st.tuples(st.integers(-9, 9), st.integers(-9, 9))
#: Of 119 and 120 real points, 60 and 66 complex ones, most samples make it worth to take two steps.
split_planes = st.tuples(st.sampled_from([119, 120]), st.sampled_from([60, 66]))
split_samples = st.tuples(st.integers(80, 119), st.integers(40, 60))


def positions(op: DftOp, count) -> list[np.ndarray]:
    axes = zip(op.size, op.start, op.step, count, strict=True)
    return [(start + step * np.arange(number)) % size for size, start, step, number in axes]


@given(size=planes, start=offsets, step=offsets, count=samples, shape=samples)
def test_transforms_are_those_of_numpy(size, start, step, count, shape):
    assert_transforms(Dft2d(size, start, step), count, shape)


@given(size=split_planes, start=offsets, step=offsets, count=split_samples)
@settings(max_examples=30)
def test_transforms_in_two_steps_are_those_of_numpy(size, start, step, count):
    op = Dft2d(size, start, step)
    assert [axis.splits for axis in op.axes(count)] == [True, True]
    assert_transforms(op, count, (2, 3))


def assert_transforms(op: Dft2d, count, shape) -> None:
    """Of samples put into a plane, where some may fall together, by ``numpy.fft``; and back."""
    size = op.size
    x = np.random.default_rng(0).standard_normal((shape[0], *count, shape[1]))
    plane = np.zeros((shape[0], *size, shape[1]))
    rows, columns = positions(op, count)
    np.add.at(plane, (slice(None), rows[:, None], columns), x)
    order = np.ix_(*(axis.frequencies for axis in op.axes()))
    expected = np.fft.fft2(plane, axes=(1, 2)).transpose(1, 2, 0, 3)[order]
    (found,) = evaluate(op, [x])
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected, atol=1e-10)
    (back,) = evaluate(Idft2d(size, op.start, op.step, count), [found])
    np.testing.assert_allclose(back, plane[:, rows][:, :, columns], atol=1e-10)


@given(
    extents=st.tuples(*[st.integers(1, 4)] * 4),
    transpose_a=st.booleans(),
    transpose_b=st.booleans(),
)
def test_complex_products_are_those_of_numpy(extents, transpose_a, transpose_b):
    count, rows, inner, columns = extents
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((count, rows, inner, 2)), rng.standard_normal((count, inner, columns, 2))
    expected = (a[..., 0] + 1j * a[..., 1]) @ (b[..., 0] + 1j * b[..., 1])
    left = np.ascontiguousarray(a.swapaxes(1, 2)) if transpose_a else a
    right = np.ascontiguousarray(b.swapaxes(1, 2)) if transpose_b else b
    (found,) = evaluate(ComplexMatMul(transpose_a, transpose_b), [left, right])
    np.testing.assert_allclose(found[..., 0] + 1j * found[..., 1], expected, atol=1e-12)


BAD = [
    (Dft2d((4, 4)), [(3, 4, 4)], "input must have 4 dimensions"),
    (Idft2d((4, 4)), [(3, 4, 1, 1)], "input must have 5 dimensions"),
    (Idft2d((4, 4)), [(4, 4, 2, 1, 2)], r"input must be f32\[3,4,2,1,2\], got f32\[4,4,2,1,2\]"),
    (Idft2d((4, 4)), [(3, 4, 2, 1, 1)], r"input must be f32\[3,4,2,1,2\], got f32\[3,4,2,1,1\]"),
    (Idft2d((4, 4)), [(3, 4, 2, 1, 2), (3,)], r"bias must be f32\[2\], got f32\[3\]"),
    (ComplexMatMul(), [(1, 2, 3), (1, 3, 2, 2)], "a must have 4 dimensions"),
    (ComplexMatMul(), [(1, 2, 3, 2), (1, 3, 2, 3)], r"b must be f32\[1,3,2,2\], got f32\[1,3,2,3\]"),
    (ComplexMatMul(), [(2, 2, 3, 2), (1, 3, 2, 2)], "2 and 1 products, inner dimensions 3 and 3"),
    (ComplexMatMul(transpose_a=True), [(1, 2, 3, 2), (1, 3, 2, 2)], "1 and 1 products, inner dimensions 2 and 3"),
    (ComplexMatMul(transpose_b=True), [(1, 2, 3, 2), (1, 3, 2, 2)], "1 and 1 products, inner dimensions 3 and 2"),
]


@pytest.mark.parametrize(("op", "shapes", "message"), BAD)
def test_operands_that_do_not_fit_are_refused(op, shapes, message):
    with pytest.raises(ShapeError, match=message):
        op.infer(*map(TensorType, shapes))


@pytest.mark.parametrize("op", [Dft2d((4, 4)), Idft2d((4, 4))])
def test_integers_are_refused(op):
    with pytest.raises(DTypeError, match="input must be float32 or float64, got i64"):
        op.infer(TensorType((3, 4, 2, 1) if isinstance(op, Dft2d) else (3, 4, 2, 1, 2), "int64"))


def test_attributes_out_of_range():
    with pytest.raises(ShapeError, match="dft2d: size must be two integers of at least 1"):
        Dft2d((0, 2))
    with pytest.raises(ShapeError, match="dft2d: step must be a tuple of integers, got 3"):
        Dft2d(step=3)
    with pytest.raises(ShapeError, match=r"dft2d: start must be two integers, got \(1, 2, 3\)"):
        Dft2d(start=(1, 2, 3))
    with pytest.raises(ShapeError, match="idft2d: samples must be two integers of at least 1"):
        Idft2d(samples=(1, 0))
    with pytest.raises(ShapeError, match="activation must be one of"):
        Idft2d(activation="gelu")
