"""Compiled models on helper threads: how many, and what interrupts and errors leave behind."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest
from support.moments import every_moment
from support.tiled import CASES, assert_identical, on_every_backend, run

import convir
from convir.runtime.helpers import stop_idle_helpers


def helpers() -> int:
    return sum(thread.name.startswith("convir-") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_helper_stays():
    stop_idle_helpers()
    yield
    stop_idle_helpers()
    assert helpers() == 0


@on_every_backend
def test_there_are_no_more_lanes_than_cpus(monkeypatch, backend):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    case = CASES["features"]
    compiled, arrays = case.compile(7, threads=1000, tile=2, backend=backend), case.arrays(7)
    found = run(compiled, arrays)
    assert (compiled.division.lanes, compiled.division.threads) == (3, 1000)
    assert str(compiled.division) == "4 tiles of 2 and 1 samples on 3 threads, one for each CPU (threads=1000)"
    assert helpers() == 2
    assert_identical(found, run(case.compile(7, threads=1, tile=2, backend=backend), arrays))


def test_tiles_are_chosen_for_as_many_lanes_as_there_are(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    case = CASES["features"]
    assert case.compile(60, threads=1000).division.tiles == case.compile(60, threads=3).division.tiles


@pytest.mark.parametrize(("threads", "tile", "says"), [(8, 2, "8 threads"), (2, 2, "2 threads"), (9, 20, "3 threads")])
def test_a_limit_that_does_not_bind_is_not_mentioned(threads, tile, says):
    assert str(CASES["features"].compile(60, threads=threads, tile=tile).division).endswith(says)


def test_the_environment_is_limited_too(monkeypatch):
    monkeypatch.setenv("CONVIR_NUM_THREADS", "1000")
    assert CASES["features"].compile(60, tile=1).division.lanes == 8


def interrupt() -> None:
    raise KeyboardInterrupt


def layers():
    """What a call goes through, from the user's down to the threads."""
    names = ("convir.compiled", "convir.specialisation", "convir.watch", "convir.execution", "convir.runtime")
    return [module for name, module in list(sys.modules.items()) if name.startswith(names)]


@pytest.mark.slow
@on_every_backend
@pytest.mark.parametrize("half", ["forward", "backward"])
def test_after_an_interrupt_at_any_moment_the_next_call_is_right(backend, half):
    case = CASES["several outputs"]
    compiled, arrays, others = case.compile(7, tile=2, threads=3, backend=backend), case.arrays(7), case.arrays(7, 1)
    expected = run(compiled, arrays)
    outputs = compiled(*others)
    interrupts = 0
    for moment in every_moment(layers(), interrupt):
        if half == "backward":
            compiled(*others)
        try:
            with moment:
                compiled(*others) if half == "forward" else compiled.backward(*outputs)
        except KeyboardInterrupt:
            interrupts += 1
        assert_identical(run(compiled, arrays), expected)
    assert interrupts == moment.number > 50


@on_every_backend
def test_after_an_error_in_a_lane_the_next_call_is_right(backend):
    case = CASES["mean loss"]
    compiled, (x, target) = case.compile(7, tile=2, threads=3, backend=backend), case.arrays(7)
    expected = run(compiled, (x, target))
    for place in (0, 3, 6):
        wrong = target.copy()
        wrong[place] = -1
        with pytest.raises(convir.ExecutionError, match="target holds class -1"):
            compiled(x, wrong)
        assert_identical(run(compiled, (x, target)), expected)


@pytest.mark.slow
def test_many_models_in_many_threads(monkeypatch):
    """On all backends, each in a thread of its own, with batches of all sizes."""
    works = []
    for number in range(8):
        case, backend = list(CASES.values())[number % 5], ("numpy", "auto")[number % 2]
        batches = [case.arrays(batch, number) for batch in (7, 2 + number)]
        alone = case.compile(7, tile=2, threads=1, backend=backend)
        expected = [run(alone, arrays) for arrays in batches]
        works.append((case.compile(7, tile=2, threads=1 + number % 3, backend=backend), batches, expected))
    wrong: list[BaseException] = []

    def work(compiled, batches, expected):
        try:
            for turn in range(20):
                assert_identical(run(compiled, batches[turn % 2]), expected[turn % 2])
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=each) for each in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # Two kinds, and no call has more than three lanes.
    assert helpers() <= 4
    assert np.isfinite(works[0][2][0]["output 0"]).all()
