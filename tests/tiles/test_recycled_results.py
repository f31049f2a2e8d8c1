"""Large results: their memory is used again, and only when nobody has it any more."""

from __future__ import annotations

import gc
import pickle

import numpy as np
import pytest

import convir
from convir.execution import results


@pytest.fixture(autouse=True)
def everything_is_large(monkeypatch):
    monkeypatch.setattr(results, "LARGE", 1)


@pytest.fixture(params=[{"tile": 2}, {"tile": 8}], ids=["tiles", "whole"])
def compiled(request):
    return convir.compile(lambda x: (x.exp(), x + 1), (8, 16), wrt=(), threads=2, **request.param)


def place(array):
    return array.__array_interface__["data"][0]


def draw(seed):
    return np.random.default_rng(seed).standard_normal((8, 16), dtype="float32")


def test_memory_is_used_again(compiled):
    places = []
    for seed in range(5):
        x = draw(seed)
        one, two = compiled(x)
        np.testing.assert_allclose(one, np.exp(x), rtol=1e-6)
        np.testing.assert_array_equal(two, x + 1)
        places.append((place(one), place(two)))
        del one, two
    assert len(set(places)) == 1


def test_not_what_somebody_has(compiled):
    kept = [(x, compiled(x)[0]) for x in map(draw, range(4))]
    assert len({place(array) for _, array in kept}) == 4
    for x, array in kept:
        np.testing.assert_allclose(array, np.exp(x), rtol=1e-6)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[3:, ::2],
        lambda a: a.T.reshape(4, -1, 4).swapaxes(0, 1),
        memoryview,
        lambda a: [a.ravel()],
        np.asarray,
    ],
)
def test_not_what_somebody_has_a_view_of(compiled, view):
    x = draw(0)
    held = view(compiled(x)[1])
    before = pickle.dumps(np.asarray(held))
    for seed in range(1, 4):
        compiled(draw(seed))
    assert pickle.dumps(np.asarray(held)) == before


def test_results_outlive_the_model():
    compiled = convir.compile(lambda x: x + 1, (8, 16), wrt=())
    x = draw(0)
    result = compiled(x)
    del compiled
    gc.collect()
    # Were its memory free, one of these would get it.
    others = [np.zeros_like(x) for _ in range(100)]
    np.testing.assert_array_equal(result, x + 1)
    assert len(others) == 100


def test_at_most_one_waits(compiled):
    held = [compiled(draw(seed))[0] for seed in range(3)]
    places = [place(array) for array in held]
    while held:
        held.pop(0)
    first, second = compiled(draw(3))[0], compiled(draw(4))[0]
    assert place(first) == places[-1]
    assert place(second) != place(first)


def test_results_are_ordinary_arrays(compiled):
    result = compiled(draw(0))[1]
    assert type(result) is np.ndarray
    assert result.flags.writeable
    assert result.flags.c_contiguous
    assert result.flags.aligned
    result.flags.writeable = False
    result.flags.writeable = True
    result += 1
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(result)), result)
