"""Axes of Fourier transforms: which frequencies are kept, in how many steps, and sizes that suit them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
