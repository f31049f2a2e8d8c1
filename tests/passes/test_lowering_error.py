"""Rounding: every strategy stays within the bound that it states, which is derived and not fitted.

Strategies that add up the very products of the loop nest do so for each element by itself: a sum of m products, added
in whatever order, differs from the exact one by at most ``gamma(m)`` times the sum of the products' magnitudes.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf, prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.conv_cases import CONV_CASES, ConvCase, conv_cases
from support.conv_layers import EVERY_STRATEGY, cases_for, fitted, layer_of
from support.graphs import assert_close, interpret, joint, results
from support.rounding import DRAWS, exact_parts, excess, values_of

import convir
from convir.ir.cook_toom import cook_toom
from convir.passes.assign_layout import AssignLayout
from convir.passes.lower_conv import LowerConv, Strategy, strategy
from convir.passes.lower_conv.bounds import amplification, bilinear, gamma, summed, unit_roundoff

U = unit_roundoff("float32")
SUMMING = ["im2col", "toeplitz", "direct", "pointwise", "depthwise", "shift_gemm", "im2col_tiled"]

by_strategy = pytest.mark.parametrize("strategy", EVERY_STRATEGY.values(), ids=EVERY_STRATEGY)


def lowered_parts(strategy: Strategy, case: ConvCase, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Result and gradients in float32, lowered and laid out."""
    graph = AssignLayout()(LowerConv({"y": strategy})(joint(case.graph("float32"))))
    y, dx, dw = results(graph, values)[:3]
    assert y.dtype == dx.dtype == dw.dtype == "float32"
    return {"result": y, "image": dx, "weight": dw}


def compiled_parts(
    strategy: Strategy, case: ConvCase, values: dict[str, np.ndarray], backend: str = "numpy"
) -> dict[str, np.ndarray]:
    compiled = convir.compile(case.graph("float32"), conv={"y": strategy}, backend=backend)
    y, gradients = compiled(*(values[name] for name in case.shapes)), compiled.backward(values["y.grad"])
    return {"result": y, "image": gradients["x"], "weight": gradients["w"]}


def assert_within_the_bounds(strategy: Strategy, case: ConvCase, seed: int = 0, draw: str = "normal") -> None:
    case = replace(case, activation=None)
    values = values_of(case, seed, draw)
    found = excess(strategy, case, lowered_parts(strategy, case, values), values)
    assert max(found.values()) <= 1, found


@pytest.mark.slow
@by_strategy
@pytest.mark.parametrize("draw", DRAWS)
def test_rounding_is_within_the_bound(strategy, draw):
    for case in cases_for(strategy):
        assert_within_the_bounds(strategy, case, draw=draw)


@pytest.mark.slow
@by_strategy
@given(case=conv_cases(), draw=st.sampled_from(DRAWS))
@settings(max_examples=25)
def test_rounding_of_any_convolution_is_within_the_bound(strategy, case, draw):
    assert_within_the_bounds(strategy, fitted(strategy, case), seed=1, draw=draw)


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("name", ["winograd_2x2", "winograd_4x4", "im2col"])
def test_rounding_of_many_channels_is_within_the_bound(name, kernel, draw):
    reach = kernel // 2
    case = ConvCase(3, 200, (12, 11), 4, (kernel, kernel), padding=(reach, reach))
    assert_within_the_bounds(strategy(name), case, draw=draw)


@by_strategy
def test_rounding_of_compiled_programs_is_within_the_bound(strategy):
    for case in list(cases_for(strategy))[::4]:
        case = replace(case, activation=None)
        values = values_of(case)
        found = compiled_parts(strategy, case, values)
        assert max(excess(strategy, case, found, values).values()) <= 1, case


@pytest.mark.slow
@pytest.mark.parametrize("name", ["direct", "winograd_4x4"])
def test_rounding_of_compiled_loops_is_within_the_bound(name):
    """Winograd's transforms go one dimension at a time here, and with NumPy both at once."""
    pytest.importorskip("numba")
    for draw in DRAWS:
        case = ConvCase(2, 8, (9, 10), 6, (3, 3), padding=(1, 1))
        values = values_of(case, draw=draw)
        found = compiled_parts(strategy(name), case, values, backend="numba")
        assert max(excess(strategy(name), case, found, values).values()) <= 1, draw


# Element by element.


def lengths(case: ConvCase) -> list[int]:
    """Terms of the sum behind each element of the result and the gradients of image, weight and bias, at most."""
    layer = layer_of(case)
    backward = [case.filters // case.groups * prod(case.kernel), layer.positions, *[layer.positions] * case.bias]
    return [layer.taps + case.bias, *backward]


def nest(case: ConvCase, values: dict[str, np.ndarray]) -> list[np.ndarray]:
    graph = joint(case.graph("float64"))
    found = interpret(graph, {name: array.astype("float64") for name, array in values.items()})
    return [found[value.name] for value in graph.outputs]


def assert_every_element_is_a_sum(case: ConvCase, name: str, seed: int = 0) -> None:
    case = replace(case, activation=None)
    values = values_of(case, seed)
    found = results(LowerConv(name)(joint(case.graph("float32"))), values)
    magnitudes = nest(case, {name: np.abs(array) for name, array in values.items()})
    for array, exact, terms, magnitude in zip(found, nest(case, values), lengths(case), magnitudes, strict=True):
        error = np.abs(array - exact)
        worst = np.max(error - (gamma(terms, U) + gamma(terms, unit_roundoff("float64"))) * magnitude)
        assert worst <= 0, f"{worst} over the bound"


@pytest.mark.parametrize("name", SUMMING)
@pytest.mark.parametrize("case", CONV_CASES.values(), ids=CONV_CASES.keys())
def test_rounding_is_that_of_a_sum(case, name):
    assert_every_element_is_a_sum(case, name)


@pytest.mark.parametrize("name", SUMMING)
@given(case=conv_cases())
@settings(max_examples=25)
def test_rounding_of_any_convolution_is_that_of_a_sum(case, name):
    assert_every_element_is_a_sum(case, name, seed=1)


# The bounds themselves.


def test_a_sum_can_be_as_bad_as_its_bound():
    """1, and then halves of its last place, each of which is rounded away where taps are added one by one."""
    case = ConvCase(1, 1, (1, 500), 1, (1, 500), bias=False)
    values = {"x": np.ones((1, 1, 1, 500), "float32"), "w": np.full((1, 1, 1, 500), 2.0**-24, "float32")}
    values["w"][..., 0] = 1
    (found,) = results(LowerConv("depthwise")(case.graph("float32")), values)
    error = 1 + 499 * 2.0**-24 - float(found[0, 0, 0, 0])
    scale = values["w"].sum(dtype="float64")
    bound = strategy("depthwise").error_bound(layer_of(case), U).result * scale
    assert error == 499 * 2.0**-24
    assert 1 < bound / error < 1.01


def test_the_bounds_are_not_empty():
    """Results that are wrong by a hundredth are outside."""
    for each in EVERY_STRATEGY.values():
        for case in list(cases_for(each))[:3]:
            case = replace(case, activation=None)
            values = values_of(case)
            wrong = {part: array * (1 + 1e-2) for part, array in exact_parts(case, values).items()}
            assert min(excess(each, case, wrong, values).values()) > 1


def test_gamma():
    assert gamma(0, U) == 0
    assert gamma(3, 0.125) == 0.375 / 0.625
    assert gamma(2, 0.5) == gamma(5, 0.5) == inf
    assert (U, unit_roundoff("float64")) == (2.0**-24, 2.0**-53)


def test_lengths_of_sums_by_hand():
    """4 channels and 6 filters in 2 groups, 3 x 2 taps, 2 images of 3 x 5 results."""
    bounds = summed(layer_of(ConvCase(channels=4, filters=6, groups=2)), U)
    assert (bounds.result, bounds.image, bounds.weight) == (gamma(13, U), gamma(18, U), gamma(30, U))


@pytest.mark.parametrize(("tile", "kernel"), [(2, 3), (4, 3), (2, 5), (4, 5), (4, 1), (1, 3), (3, 2)])
def test_amplification_is_that_of_the_worst_tap_and_place(tile, kernel):
    """In two dimensions at once, with matrices of floats."""
    matrices = cook_toom(tile, kernel)
    output, weight, image = (
        np.abs(np.array(each, float)) for each in (matrices.output, matrices.weight, matrices.input)
    )
    largest = image @ np.ones((len(image), len(image))) @ image.T
    worst = 0.0
    for k, tap in np.ndindex(kernel, kernel):
        transformed = np.outer(weight[:, k], weight[:, tap])
        worst = max(worst, (output @ (transformed * largest) @ output.T).max())
    assert float(amplification(matrices)) ** 2 == pytest.approx(worst, rel=1e-12)


def test_winograds_bound_by_hand():
    """F(2x2, 3x3), 5 channels, a bias: both dimensions amplify by 4.

    Roundings: 8 of the weight's transform (9 halves and ones are added up, exact products), 3 of the input's (4 terms),
    8 of the output's (9 terms), 5 of the sum over channels with its products, one of the bias.
    """
    case = ConvCase(1, 5, (6, 6), 7, (3, 3))
    assert amplification(cook_toom(2, 3)) == 4
    matrices = (cook_toom(2, 3), cook_toom(2, 3))
    bounds = bilinear(layer_of(case), matrices, matrices, 4, U)
    assert bounds.result == 16 * gamma(8 + 3 + 8 + 5 + 1, U)
    assert bounds.image == 16 * gamma(8 + 3 + 8 + 7, U)
    # Adjoints: 3 taps from 4 places hold up to 3 terms a side, 4 places from 2 outputs 2.
    assert bounds.weight == 16 * gamma(8 + 3 + 3 + 4, U)


def test_constants_that_are_not_exact_round_too():
    """F(4x4, 3x3): rows of the weight's matrix hold sixths, 9 terms, each a rounded constant and a rounded product."""
    assert amplification(cook_toom(4, 3)) == Fraction(88, 3)
    matrices = (cook_toom(4, 3), cook_toom(4, 3))
    bounds = bilinear(layer_of(ConvCase(1, 5, (6, 6), 7, (3, 3), bias=False)), matrices, matrices, 1, U)
    weight, image, result = 8 + 1 + 1, 15, 24
    assert bounds.result == float(Fraction(88, 3) ** 2) * gamma(weight + image + result + 5, U)


def test_larger_tiles_amplify_more():
    growing = [amplification(cook_toom(tile, 3)) for tile in (1, 2, 4, 6)]
    assert growing == sorted(growing)


def test_double_precision_agrees_far_better():
    """The same formulas with another unit roundoff."""
    case = ConvCase(channels=8, size=(8, 8), kernel=(3, 3), filters=2, batch=1)
    values = {name: array.astype("float64") for name, array in values_of(case).items()}
    graph = LowerConv("winograd_4x4")(joint(case.graph("float64")))
    found = dict(zip(("result", "image", "weight"), results(graph, values)[:3], strict=True))
    assert_close(list(found.values()), list(exact_parts(case, values).values()), 1e-12)
