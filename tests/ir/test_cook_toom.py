"""The matrices of Winograd's filtering: exact in rational arithmetic, and those that are published."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convir.ir import ShapeError
from convir.ir.cook_toom import POINTS, cook_toom

numbers = st.integers(-9, 9).map(Fraction)


def product(matrix, vector):
    return [sum((a * b for a, b in zip(row, vector, strict=True)), Fraction(0)) for row in matrix]


@st.composite
def filters(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """Outputs, taps, stride, upsampling and phase; of the last three only those of one kind."""
    outputs, taps, factor = draw(st.integers(1, 7)), draw(st.integers(1, 5)), draw(st.integers(1, 4))
    if draw(st.booleans()):
        return outputs, taps, factor, 1, 0
    return draw(st.integers(1, 3)) * factor, taps, 1, factor, draw(st.integers(0, factor - 1))


@given(data=st.data(), given_=filters())
@settings(max_examples=300)
def test_it_is_the_correlation_exactly(data, given_):
    outputs, taps, stride, upsampling, phase = given_
    found = cook_toom(*given_)
    inputs = data.draw(st.lists(numbers, min_size=found.window, max_size=found.window))
    weight = data.draw(st.lists(numbers, min_size=taps, max_size=taps))
    spread = {upsampling * place: number for place, number in enumerate(inputs)}
    factors = zip(product(found.weight, weight), product(found.input, inputs), strict=True)
    expected = [sum(spread.get(stride * i + k - phase, 0) * weight[k] for k in range(taps)) for i in range(outputs)]
    assert product(found.output, [a * b for a, b in factors]) == expected


@given(outputs=st.integers(1, 7), taps=st.integers(1, 5), factor=st.integers(1, 4), data=st.data())
def test_how_many_products_and_inputs_there_are(outputs, taps, factor, data):
    """``m + r - 1`` for each phase, with a stride and with upsampling."""
    phases = [-(-(taps - p) // factor) for p in range(min(taps, factor))]
    products = sum(outputs + r - 1 for r in phases)
    strided = cook_toom(outputs, taps, factor)
    upsampled = cook_toom(outputs * factor, taps, 1, factor, data.draw(st.integers(0, factor - 1)))
    assert strided.places == upsampled.places == products
    assert strided.window == factor * (outputs - 1) + taps
    assert upsampled.window in (outputs + phases[0] - 1, outputs + phases[0])


def test_half_of_stride_two_copies():
    """F(4, 3) with stride 2: F(4, 2) of every other input, and those between are multiplied by the middle tap."""
    found = cook_toom(4, 3, 2)
    unit = [[int(i == j) for j in range(4)] for i in range(4)]
    assert [row[0::2] for row in ints(found.input)[:5]] == ints(cook_toom(4, 2).input)
    assert [row[1::2] for row in ints(found.input)[5:]] == unit
    assert ints(found.weight)[5:] == [[0, 1, 0]] * 4
    assert [row[5:] for row in ints(found.output)] == unit


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


BAD = [
    ((0, 3), r"F\(0, 3\) needs at least 1 output and 1 tap"),
    ((2, 0), r"F\(2, 0\) needs at least 1 output and 1 tap"),
    ((2, 3, 0), "a stride and an upsampling of at least 1, got 0 and 1"),
    ((2, 3, 2, 2), "stride 2 and upsampling 2 do not go together"),
    ((3, 3, 1, 2), "tiles of a multiple of 2 outputs and a phase below 2, got 3 outputs and phase 0"),
    ((4, 3, 1, 2, 2), "got 4 outputs and phase 2"),
    ((len(POINTS), 3), rf"F\({len(POINTS)}, 3\) needs {len(POINTS) + 1} interpolation points, and there are 11"),
    ((8, 12, 2), r"F\(8, 6\) needs 12 interpolation points"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_what_there_is_not(arguments, message):
    with pytest.raises(ShapeError, match=message):
        cook_toom(*arguments)
