"""Axes of Fourier transforms: which frequencies are kept, in how many steps, and sizes that suit them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convir.ir import fourier
from convir.ir.fourier import FourierAxis, fast_size


@pytest.mark.parametrize("real", [True, False])
@given(size=st.integers(1, 300))
def test_every_frequency_is_kept_or_its_conjugate(real, size):
    axis = FourierAxis(size, real)
    kept = set(axis.frequencies)
    assert len(kept) == len(axis.frequencies)
    assert kept | ({-f % size for f in kept} if real else set()) == set(range(size))


@pytest.mark.parametrize("real", [True, False])
@given(least=st.integers(1, 300))
def test_sizes_have_room_and_are_no_more_work(real, least):
    size = fast_size(least, real)
    assert least <= size <= 1.25 * least
    tight, fast = (FourierAxis(each, real, least) for each in (least, size))
    assert fast.macs <= 1.2 * tight.macs


def test_transforms_of_large_planes_multiply_less():
    """n*(a+b) complex multiplications instead of n*n: a fifth for 120 points, a twelfth for 528."""
    assert FourierAxis(120, False, 120).factors == (10, 12)
    assert FourierAxis(120, False, 120).macs == 4 * 120 * 22
    assert FourierAxis(528, False, 528).macs == 4 * 528 * 46


@given(size=st.integers(1, 2000) | st.integers(1, 45).map(lambda root: root * root))
def test_divisors_are_all_there_are_each_once_and_ascending(size):
    assert fourier._divisors(size) == [a for a in range(1, size + 1) if size % a == 0]


@pytest.mark.parametrize(("least", "real", "size"), [(8192, True, 8201), (100, True, 102), (225, False, 225)])
def test_sizes_that_are_fast(least, real, size):
    assert fast_size(least, real) == size
