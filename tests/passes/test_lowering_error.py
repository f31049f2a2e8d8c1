"""Rounding: strategies that add up the very products of the loop nest stay within the bound for any order of adding.

A sum of m products in floating point, added in whatever order, differs from the exact one by at most
``m*u / (1 - m*u)`` times the sum of the products' magnitudes, with u half of eps (Higham, *Accuracy and Stability of
Numerical Algorithms*, 2nd edition, 2002, section 3.1); fused multiply-adds and added zeros do no harm. Here ``m * eps``
times that sum, which is above it and leaves room for the rounding of the reference. Winograd's and Fourier's methods
compute other products, and have bounds of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.graphs import interpret, joint

from convir.passes.lower_conv import LowerConv

SUMMING = ["im2col", "toeplitz", "direct", "pointwise", "depthwise", "shift_gemm", "im2col_tiled"]

Arrays = Mapping[str, np.ndarray]


def values_of(case: ConvCase, dtype: str, seed: int) -> dict[str, np.ndarray]:
    """Operands and cotangent that float32 holds exactly."""
    graph, rng = joint(case.graph(dtype)), np.random.default_rng(seed)
    return {value.name: rng.standard_normal(value.type.shape, "float32").astype(dtype) for value in graph.inputs}


def exact(case: ConvCase, values: Arrays) -> list[np.ndarray]:
    """Result and gradients by the loop nest in double precision."""
    graph = joint(case.graph("float64"))
    found = interpret(graph, {name: array.astype("float64") for name, array in values.items()})
    return [found[value.name] for value in graph.outputs]


def lengths(case: ConvCase) -> list[int]:
    """Terms of the sum behind each element of the result and the gradients of image, weight and bias, at most."""
    (y,) = case.graph("float32").outputs
    taps = prod(case.kernel)
    positions = y.type.size // case.filters
    forward = case.channels // case.groups * taps + case.bias
    backward = [case.filters // case.groups * taps, positions, *[positions] * case.bias]
    return [forward, *backward]


def assert_within_the_bound(case: ConvCase, name: str, dtype: str, seed: int = 0) -> None:
    case = replace(case, activation=None)
    values = values_of(case, dtype, seed)
    graph = LowerConv(name)(joint(case.graph(dtype)))
    lowered = interpret(graph, values)
    magnitudes = exact(case, {name: np.abs(array) for name, array in values.items()})
    eps = float(np.finfo(dtype).eps)
    for value, wanted, terms, magnitude in zip(
        graph.outputs, exact(case, values), lengths(case), magnitudes, strict=True
    ):
        found = lowered[value.name]
        assert found.dtype == dtype
        error = np.abs(found.astype("float64") - wanted)
        worst = np.max(error - terms * eps * magnitude)
        assert worst <= 0, f"{value.name} is {worst} over the bound"


@pytest.mark.parametrize("name", SUMMING)
@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_rounding_is_that_of_a_sum(case, name):
    assert_within_the_bound(case, name, "float32")


@pytest.mark.parametrize("name", SUMMING)
@given(case=conv_cases())
@settings(max_examples=25)
def test_rounding_of_any_convolution_is_that_of_a_sum(case, name):
    assert_within_the_bound(case, name, "float32", seed=1)


def test_the_bound_is_not_empty():
    """Eight digits less, and it is broken."""
    case = replace(CONV_CASES["plain"], activation=None)
    values = values_of(case, "float32", 0)
    magnitudes = exact(case, {name: np.abs(array) for name, array in values.items()})
    for wanted, terms, magnitude in zip(exact(case, values), lengths(case), magnitudes, strict=True):
        assert np.any(np.abs(wanted) * 1e-4 > terms * np.finfo("float32").eps * magnitude)
