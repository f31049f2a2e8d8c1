"""What a machine can do, and what is predicted from it."""

import json
from dataclasses import replace
from itertools import product as combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.machines import ROUND

from convir.runtime import NUMPY
from convir.runtime.calls import Loops, Move, Product
from convir.selection import known_figures
from convir.selection.figures import COLUMNS, COPIES, INNER, ROWS, Figures
from convir.selection.known_figures import figures_for
from convir.selection.measuring import measure_figures
from convir.selection.roofline import predict_call

RATES = np.random.default_rng(0).uniform(1, 100, (len(ROWS), len(INNER), len(COLUMNS)))
MACHINE = Figures(
    tuple(tuple(map(tuple, plane)) for plane in RATES.tolist()),
    tuple(map(float, range(1, 1 + len(COPIES)))),
    1e-8,
    1e-9,
    4e-9,
    1e-6,
)


def test_measured_sizes_have_their_own_rates():
    for (i, m), (j, k), (place, n) in combinations(enumerate(ROWS), enumerate(INNER), enumerate(COLUMNS)):
        assert MACHINE.gflops(m, k, n) == pytest.approx(RATES[i, j, place])
    assert [MACHINE.gbytes(size) for size in COPIES] == pytest.approx(MACHINE.copy_gbytes)


def test_rates_between_are_geometric_means():
    between = MACHINE.gflops(ROWS[0], INNER[0], int((COLUMNS[0] * COLUMNS[1]) ** 0.5 + 0.5))
    assert between == pytest.approx((RATES[0, 0, 0] * RATES[0, 0, 1]) ** 0.5, rel=0.02)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(1, 10**6))
def test_no_rate_is_out_of_the_measured_range(m, k, n):
    assert RATES.min() * 0.999 <= MACHINE.gflops(m, k, n) <= RATES.max() * 1.001


def test_figures_come_back_from_json():
    assert Figures.from_json(json.loads(json.dumps(MACHINE.to_json()))) == MACHINE


@pytest.mark.parametrize(
    "wrong",
    [
        {"product_gflops": [[[1.0]]]},
        {"copy_gbytes": [1.0]},
        {"loop_seconds": -1.0},
        {"call_seconds": "1"},
        {"element_seconds": float("nan")},
        {"copy_gbytes": [0.0] * len(COPIES)},
    ],
)
def test_figures_that_cannot_be_are_refused(wrong):
    with pytest.raises((KeyError, TypeError, ValueError)):
        Figures.from_json({**MACHINE.to_json(), **wrong})
    with pytest.raises(KeyError):
        Figures.from_json({})


def test_a_product_takes_its_operations():
    product = predict_call(Product(2, 100, 100, 100, nbytes=1000, itemsize=4), ROUND)
    assert product.seconds == pytest.approx(2 * 2e6 / 50e9 + 1e-6)
    assert product.bound == "compute"


def test_operands_that_are_not_in_the_first_cache_take_what_they_take_longer():
    far = replace(ROUND, copy_gbytes=(*(100.0 for _ in COPIES[:-1]), 10.0))
    product = Product(1, 1, 1000, 1000, nbytes=COPIES[-1], itemsize=4)
    assert predict_call(product, far).moving == pytest.approx(COPIES[-1] * (1 / 10e9 - 1 / 100e9))
    assert predict_call(product, far).computing == predict_call(product, ROUND).computing
    assert predict_call(product, far).bound == "memory"
    assert predict_call(replace(product, nbytes=COPIES[0]), far).moving == 0


def test_a_pass_takes_its_bytes_and_its_loops():
    assert predict_call(Move(10**6, 10, 1, False, 4), ROUND).seconds == pytest.approx(1e-4 + 1e-8 + 1e-6)
    assert predict_call(Move(10**6, 10, 1000, False, 4), ROUND).seconds == pytest.approx(1e-4 + 1e-5 + 1e-6)
    assert predict_call(Move(10**3, 10**6, 1, True, 16), ROUND).seconds == pytest.approx(1e-3 + 1e-8 + 1e-6)
    assert predict_call(Move(10**3, 10**6, 1, True, 32), ROUND).seconds == pytest.approx(4e-3 + 1e-8 + 1e-6)


def test_loops_take_their_cycles_or_their_bytes():
    assert predict_call(Loops(5e6, 1000), ROUND).seconds == pytest.approx(5e-3)
    assert predict_call(Loops(5, 10**6), ROUND).seconds == pytest.approx(1e-4)


def test_this_machine_is_measured_once_and_kept(folder, monkeypatch):
    found = figures_for(NUMPY, 1, "float32")
    assert found.peak_gflops > 1
    assert found.gflops(256, 512, 2048) > found.gflops(4, 8, 4)
    figures_for.cache_clear()
    monkeypatch.setattr(known_figures, "measure_figures", lambda *_: pytest.fail("measured twice"))
    assert figures_for(NUMPY, 1, "float32") == found
    (file,) = folder.iterdir()
    for damage in (b"", file.read_bytes()[:-10], file.read_bytes().replace(b"2", b"3", 1)):
        file.write_bytes(damage)
        figures_for.cache_clear()
        monkeypatch.setattr(known_figures, "measure_figures", lambda *_: MACHINE)
        assert figures_for(NUMPY, 1, "float32") == MACHINE


@pytest.mark.slow
def test_more_digits_take_longer():
    single, double = measure_figures(), measure_figures(dtype="float64")
    assert double.peak_gflops < single.peak_gflops
