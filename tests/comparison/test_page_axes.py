"""Axes and labels of the page's plots."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.comparison.page import axis, dots, labels

positive = st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=20)


@given(positive, st.sampled_from([2, 10]))
def test_values_lie_on_the_axis_in_their_order_and_ticks_within(values, base):
    for made in (axis.linear(values, 100.0, 400.0, base=base), axis.logarithmic(values, 100.0, 400.0, base=base)):
        places = [made(value) for value in sorted(values)]
        assert places == sorted(places)
        assert all(100.0 <= place <= 400.0 for place in places)
        assert all(made.low <= tick <= made.high * (1 + 1e-9) for tick in made.ticks)
        assert len(made.ticks) <= 7


@pytest.mark.parametrize(
    ("values", "ticks"),
    [([7.0], (0, 2, 4, 6)), ([100.0], (0, 50, 100)), ([0.9], (0, 0.5)), ([0.0], (0, 0.5, 1.0))],
)
def test_round_ticks(values, ticks):
    assert axis.linear(values, 0, 1).ticks == pytest.approx(ticks)


def test_bytes_have_ticks_at_powers_of_two():
    assert axis.linear([3000.0], 0, 1, base=2).ticks == (0, 1024, 2048)
    assert axis.logarithmic([1024.0, 4096.0], 0, 1, base=2).ticks == (1024, 2048, 4096)


def test_logarithmic_places_are_by_ratio():
    made = axis.logarithmic([1.0, 100.0], 0.0, 300.0)
    assert made(10.0) == pytest.approx((made(1.0) + made(100.0)) / 2, abs=0.1)
    assert made.ticks == (1, 10, 100)
    assert axis.logarithmic([1.0, 9.0], 0.0, 1.0).ticks == (1, 2, 5)


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([1, 2, 3, 1000], 3),
        ([1, 2, 3, 4, 900, 1000], 4),
        ([1, 1000], 2),
        ([1, 2, 1000, 1001, 1002], 5),
        ([1, 3, 9, 27, 81], 5),
        ([5], 1),
        ([0, math.inf, 5], 1),
    ],
)
def test_a_few_values_far_from_the_others_get_no_room(values, kept):
    assert axis.together(values) == sorted(v for v in values if 0 < v < math.inf)[:kept]


@given(st.lists(st.tuples(st.floats(20, 480), st.floats(20, 280)), min_size=1, max_size=40))
def test_names_cover_neither_each_other_nor_marks(points):
    made = labels.Labels(500.0, 0.0, 300.0)
    for point in points:
        made.block(point)
    marks = list(made._taken)
    for index, point in enumerate(points):
        made.beside(point, f"conv{index}")
    names = made._taken[len(marks) :]
    for place, (left, top, right, bottom) in enumerate(names):
        assert left >= 0
        assert right <= 500
        for x, y, r, b in [*marks, *names[:place]]:
            assert left >= r or right <= x or top >= b or bottom <= y


def test_marks_that_would_cover_each_other_lie_apart():
    assert list(dots._levels([10, 11, 12, 40])) == [0, -8, 8, 0]


def test_a_long_name_is_known_by_its_end():
    assert dots.shortened("features.block.10.conv", 8) == "…10.conv"
    assert dots.shortened("conv1", 8) == "conv1"
