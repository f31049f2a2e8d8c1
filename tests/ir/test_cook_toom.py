"""The matrices of Winograd's filtering: exact in rational arithmetic, and those that are published."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.ir import ShapeError
from convir.ir.cook_toom import POINTS, cook_toom

numbers = st.integers(-9, 9).map(Fraction)


def product(matrix, vector):
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@given(data=st.data(), outputs=st.integers(1, 8), taps=st.integers(1, 5))
def test_it_is_the_correlation_exactly(data, outputs, taps):
    count = outputs + taps - 1
    inputs = data.draw(st.lists(numbers, min_size=count, max_size=count))
    weight = data.draw(st.lists(numbers, min_size=taps, max_size=taps))
    found = cook_toom(outputs, taps)
    factors = zip(product(found.weight, weight), product(found.input, inputs), strict=True)
    expected = [sum(inputs[i + k] * weight[k] for k in range(taps)) for i in range(outputs)]
    assert product(found.output, [a * b for a, b in factors]) == expected


def ints(matrix):
    return [[int(number) for number in row] for row in matrix]


def test_the_published_input_and_output_transforms():
    """Lavin and Gray's, up to the signs of rows, which cancel between input and weight."""
    assert ints(cook_toom(4, 3).output) == [
        [1, 1, 1, 1, 1, 0],
        [0, 1, -1, 2, -2, 0],
        [0, 1, 1, 4, 4, 0],
        [0, 1, -1, 8, -8, 1],
    ]
    assert ints(cook_toom(4, 3).input) == [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
    assert ints(cook_toom(2, 3).output) == [[1, 1, 1, 0], [0, 1, -1, 1]]
    assert [[abs(n) for n in row] for row in cook_toom(2, 3).weight] == [
        [1, 0, 0],
        [Fraction(1, 2)] * 3,
        [Fraction(1, 2)] * 3,
        [0, 0, 1],
    ]


def test_the_same_points_serve_other_kernels():
    """F(2, 5) and F(4, 3) interpolate at the same six points, so their input transforms are one."""
    assert cook_toom(2, 5).input == cook_toom(4, 3).input


@pytest.mark.parametrize(("outputs", "taps"), [(0, 3), (2, 0), (len(POINTS), 3)])
def test_what_there_is_not(outputs, taps):
    with pytest.raises(ShapeError, match=rf"F\({outputs}, {taps}\) needs at least 1 output and 1 tap"):
        cook_toom(outputs, taps)
