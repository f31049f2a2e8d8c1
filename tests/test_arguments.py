"""What callers pass: the quick answer agrees with the whole check, and nothing is cast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir import DTypeError, ShapeError, TensorType
from convir.arguments import Arguments
from convir.ir import Value

VALUES = (Value("x", TensorType((2, 3))), Value("target", TensorType((2,), "int64")))
SHAPES = ((2, 3), (3, 2), (2,), (), (2, 3, 1))
DTYPES = ("float32", "float64", "int64", ">f4", ">i8")


class Matrix(np.ndarray):
    """An array of a kind of its own."""


def arrays() -> st.SearchStrategy[object]:
    plain = st.builds(np.ones, st.sampled_from(SHAPES), st.sampled_from(DTYPES))
    return st.one_of(
        plain,
        plain.map(lambda array: array.view(Matrix)),
        plain.map(np.ndarray.tolist),
        plain.map(lambda array: np.ones((4, 6, 2), array.dtype)[::2, ::2, 0]),
    )


@given(st.lists(arrays(), max_size=3) | st.just([np.ones((2, 3), "f"), np.ones(2, "int64")]))
def test_what_fits_is_taken_as_it_is_and_nothing_else_fits(items):
    arguments = Arguments("net", "input", VALUES)
    right = [(type(item), getattr(item, "dtype", None), np.shape(item)) for item in items]
    expected = [(np.ndarray, np.dtype(value.type.dtype), value.type.shape) for value in VALUES]
    assert arguments.fit(tuple(items)) == (right == expected)
    if right == expected:
        assert all(found is item for found, item in zip(arguments.of_shape(items), items, strict=True))


@given(st.lists(arrays(), min_size=2, max_size=2))
def test_what_is_taken_has_the_types_and_the_values(items):
    arguments = Arguments("net", "input", VALUES)
    try:
        found = arguments.of_shape(items)
    except (ShapeError, DTypeError):
        converted = [np.asarray(item) for item in items]
        assert any(
            (array.dtype.name, array.shape) != (value.type.dtype, value.type.shape)
            for array, value in zip(converted, VALUES, strict=True)
        )
        return
    for array, item, value in zip(found, items, VALUES, strict=True):
        assert (array.dtype.name, array.shape) == (value.type.dtype, value.type.shape)
        np.testing.assert_array_equal(array, item)


def test_another_size_has_the_rank():
    arguments = Arguments("net", "input", VALUES)
    other = [np.ones((5, 3), "f"), np.ones(5, "int64")]
    assert not arguments.fit(other)
    assert all(found is item for found, item in zip(arguments.of_rank(other), other, strict=True))
    with pytest.raises(ShapeError, match=r"input x must be f32\[2,3\], got shape \[5, 3\] \(5x3\)"):
        arguments.of_shape(other)


@pytest.mark.parametrize(
    ("items", "error", "message"),
    [
        ((), ShapeError, r"net takes 2 inputs \(x: f32\[2,3\], target: i64\[2\]\), got 0"),
        ((np.ones((2, 3)), np.ones(2, "int64")), DTypeError, r"input x must be float32, got float64; convert it"),
        ((np.ones((2, 3), "f"), [0.5, 1.5]), DTypeError, r"input target must be int64, got list \(float64\)"),
        ((np.ones(3, "f"), np.ones(2, "int64")), ShapeError, r"input x must be f32\[2,3\], got shape \[3\]"),
        (([[1], [2, 3]], np.ones(2, "int64")), ShapeError, r"input x must be f32\[2,3\]: "),
    ],
)
def test_errors_say_what_was_expected_and_given(items, error, message):
    with pytest.raises(error, match=message):
        Arguments("net", "input", VALUES).of_rank(items)
