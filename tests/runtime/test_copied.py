"""Copies whose short rows are one element each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from convir.runtime.kernels.copy import WIDEST, copied


@st.composite
def pairs(draw):
    """Arrays of one shape, with axes in some order, steps, and gaps behind their rows."""
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    shape.append(draw(st.sampled_from([1, 2, 4, 5, 300])))
    dtype = draw(st.sampled_from(["float32", "float64", "int8"]))
    found = []
    for seed in range(2):
        steps = [draw(st.integers(1, 2)) for _ in shape]
        order = draw(st.sampled_from([range(len(shape)), range(len(shape))[::-1]]))
        whole = np.random.default_rng(seed).integers(-100, 100, [shape[i] * steps[i] for i in order]).astype(dtype)
        view = whole[tuple(slice(None, None, steps[i]) for i in order)]
        found.append((whole, view.transpose(np.argsort(list(order)))))
    return found


@given(pairs())
def test_every_element_is_copied_and_no_other_is_touched(drawn):
    (whole, target), (_, source) = drawn
    expected = whole.copy()
    start = target.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    np.ndarray(target.shape, target.dtype, expected, start, target.strides)[...] = source
    copied(target, source)()
    np.testing.assert_array_equal(whole, expected)


def widths(target, source) -> set[int]:
    return {array.itemsize for array in copied(target, source).args}


def test_rows_become_elements_where_they_are_short_and_lie_apart():
    image = np.zeros((3, 8, 8, 4), "float32")
    tiles = np.zeros((3, 4, 4, 4), "float32")
    assert widths(tiles, image[:, ::2, ::2]) == {16}
    assert widths(tiles, image[:, :4, :4]) == {64}
    assert widths(tiles, tiles.copy()) == {4}, "all of it is one row"
    assert widths(image[:, :, :, 0], image[:, :, :, 1]) == {4}, "there are no rows"
    wide = np.zeros((3, 4, WIDEST), "float32")
    assert widths(wide[:, ::2], wide[:, 1::2]) == {4}, "rows are long"
