"""Rounding of convolution by Fourier transforms: NumPy's own, and in one step, against the derived bound."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rounding import DRAWS

from convir.passes.lower_conv.bounds import fourier, gamma, unit_roundoff

U = unit_roundoff("float32")

SMOOTH = [4, 5, 6, 8, 9, 11, 12, 14, 15, 16, 20, 21, 22, 25, 27, 32, 33, 35, 36, 40, 48, 49, 50, 60, 64, 96, 121, 128]


def steps_of(transform: tuple[int, int]) -> list[int]:
    """Those of a library: prime factors, each with its twiddle factors; radices 4 and 8 are two and three of them.

    Larger odd radices add up sums and differences of pairs first: fewer roundings than products of all terms.
    """
    found = []
    for length in transform:
        for factor in (2, 3, 5, 7, 11):
            while length % factor == 0:
                found += [factor, 1]
                length //= factor
        assert length == 1, "libraries transform other lengths by way of a convolution"
    return found


def of_library(transform: tuple[int, int], pixels: int, terms: int) -> float:
    """The bound with NumPy's transforms, whose inverse divides once for each axis."""
    steps = steps_of(transform)
    return fourier(steps, steps, [*steps, 1, 1], pixels, terms, U)


def convolved(x: np.ndarray, w: np.ndarray, transform: tuple[int, int]) -> np.ndarray:
    """Cross-correlation (C, H, W) with (O, C, KH, KW) by real transforms in the operands' precision."""
    rows, columns = x.shape[1] - w.shape[2] + 1, x.shape[2] - w.shape[3] + 1
    image, filters = np.fft.rfft2(x, transform), np.fft.rfft2(w, transform)
    products = np.einsum("chw,ochw->ohw", image, filters.conj())
    return np.fft.irfft2(products, transform)[:, :rows, :columns]


def directly(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """The same as sums over windows, in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), w.shape[2:], (1, 2))
    return np.einsum("chwkl,ockl->ohw", windows, w.astype("float64"))


@given(
    transform=st.tuples(st.sampled_from(SMOOTH), st.sampled_from(SMOOTH)),
    kernel=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    channels=st.integers(1, 9),
    draw=st.sampled_from([*DRAWS, "one pixel"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_rounding_of_fast_fourier_transforms_is_within_the_bound(transform, kernel, channels, draw, seed):
    """The image fills the plane: what wraps around is cut off."""
    rng = np.random.default_rng(seed)
    kernel = tuple(min(k, n) for k, n in zip(kernel, transform, strict=True))
    x, w = (
        rng.standard_normal((channels, *transform), "float32"),
        rng.standard_normal((2, channels, *kernel), "float32"),
    )
    if draw == "positive":
        x, w = np.abs(x), np.abs(w)
    if draw == "one pixel":
        x *= rng.uniform(size=x.shape) > 0.95
        w *= rng.uniform(size=w.shape) > 0.8
    found = convolved(x, w, transform)
    assert found.dtype == "float32"
    scale = np.abs(x).max() * np.abs(w).sum((1, 2, 3), dtype="float64").max()
    assert np.abs(found - directly(x, w)).max() <= of_library(transform, prod(transform), channels) * scale


def test_rounding_of_transforms_in_one_step_is_within_the_bound():
    """Each a product with a matrix of all roots of unity: rows real, then columns."""
    rng = np.random.default_rng(0)
    x, w = rng.uniform(0.5, 1, (6, 20, 21)).astype("float32"), rng.uniform(0.5, 1, (2, 6, 4, 5)).astype("float32")
    roots = [np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) for n in (20, 21)]
    rows, columns = (matrix.astype("complex64") for matrix in roots)
    image, filters = (rows[:, : a.shape[-2]] @ a @ columns[: a.shape[-1]] for a in (x, w))
    products = np.einsum("chw,ochw->ohw", image, filters.conj())
    inverse = [(matrix.conj() / len(matrix)).astype("complex64") for matrix in roots]
    found = (inverse[0] @ products @ inverse[1])[:, :17, :17]
    assert found.dtype == "complex64"
    error = np.abs(found - directly(x, w)).max()
    scale = x.max() * w.sum((1, 2, 3), dtype="float64").max()
    assert error <= fourier([20, 21], [4, 5], [20, 21], 20 * 21, 6, U) * scale


def test_fouriers_bound_by_hand():
    """One step of one sample each, a product: constants rounded twice, complex products of 2 terms a part."""
    step = 2**0.5 * ((1 + 2 * U + 22 * 2.0**-53) * (1 + gamma(2, U)) - 1)
    expected = (1 + step) ** 3 * (1 + 2**0.5 * gamma(2, U)) - 1
    assert fourier([1], [1], [1], 1, 1, U) == pytest.approx(expected, rel=1e-7)
    assert fourier([1], [1], [1], 9, 1, U) == pytest.approx(3 * expected, rel=1e-7)


def test_the_bound_of_fourier_transforms_grows_with_everything():
    least = fourier([4], [4], [4], 16, 2, U)
    larger = [([8], [4], [4], 16, 2), ([4], [8], [4], 16, 2), ([4], [4], [8], 16, 2), ([4], [4], [4], 17, 2)]
    for arguments in (*larger, ([4], [4], [4], 16, 3), ([4, 1], [4], [4], 16, 2)):
        assert fourier(*arguments, U) > least
    assert fourier([8], [4], [4], 16, 2, U) > fourier([4], [8], [4], 16, 2, U), "norms cost more than sums"
