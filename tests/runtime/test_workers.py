"""Lanes that are Python callables: where they run, context, errors; see ``test_helpers.py`` for their threads."""

from __future__ import annotations

import contextvars
import gc
import os
import sys
import threading
import traceback
import weakref

import numpy as np
import pytest
from support.forks import fork, forked, needs_fork, status_of, until

from convir import ConvirError
from convir.runtime.helpers import stop_idle_helpers
from convir.runtime.workers import parallel


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "convir-helper" and thread.is_alive()]


@pytest.fixture(autouse=True)
def _no_helper_stays(monkeypatch):
    # One that is about to end of itself may be woken too late.
    monkeypatch.setattr("convir.runtime.helpers.IDLE_SECONDS", 60)
    stop_idle_helpers()
    assert helpers() == []
    yield
    stop_idle_helpers()
    assert helpers() == []


def meeting(lanes):
    """A task whose lanes must all be in it at once; and the threads that were."""
    barrier = threading.Barrier(lanes, timeout=20)
    threads = [None] * lanes

    def task(lane):
        threads[lane] = threading.current_thread()
        barrier.wait()

    return task, threads


@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 50])
def test_every_lane_runs_once_the_first_in_the_caller(lanes):
    runs = []
    for _ in range(20):
        parallel(lambda lane: runs.append((lane, threading.current_thread())), lanes)
    assert sorted(lane for lane, _ in runs) == sorted(list(range(lanes)) * 20)
    assert {thread for lane, thread in runs if lane == 0} == {threading.current_thread()}
    assert len(helpers()) <= lanes - 1


def test_lanes_run_at_the_same_time_and_the_helpers_serve_again():
    task, threads = meeting(4)
    parallel(task, 4)
    assert len(set(threads)) == 4
    assert threads[0] is threading.current_thread()
    again, others = meeting(3)
    parallel(again, 3)
    assert set(others) < set(threads)
    assert set(helpers()) == set(threads[1:])


def test_the_work_of_all_lanes_is_there_when_it_returns():
    a = np.random.default_rng(0).standard_normal((6, 80, 80))
    for _ in range(50):
        out = np.zeros_like(a)
        parallel(lambda lane, out=out: np.matmul(a[lane], a[lane], out[lane]), 6)
        np.testing.assert_array_equal(out, [x @ x for x in a])


@pytest.mark.parametrize("lanes", [0, -1])
def test_no_lane_is_an_error(lanes):
    with pytest.raises(ConvirError, match=f"at least one lane, not {lanes}"):
        parallel(print, lanes)


def test_a_task_may_call_it_and_threads_share_the_helpers():
    runs = []
    most = []

    def outer(lane):
        most.append(len(helpers()))
        parallel(lambda inner: runs.append((lane, inner)), 3)

    callers = [threading.Thread(target=parallel, args=(outer, 3)) for _ in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(runs) == sorted([(lane, inner) for lane in range(3) for inner in range(3)] * 8)
    assert max(most) <= 2


def test_lanes_without_a_helper_run_in_the_calling_thread_in_order():
    task, threads = meeting(2)
    order = []

    def first(lane):
        if lane == 0:
            # The only helper that this pool may have is in the other lane.
            parallel(lambda inner: order.append((inner, threading.current_thread())), 2)
        task(lane)

    parallel(first, 2)
    assert order == [(0, threads[0]), (1, threads[0])]


def test_a_lane_sees_the_callers_context():
    name = contextvars.ContextVar("name", default="nobody")
    task, _ = meeting(3)
    seen = {}

    def named(lane):
        task(lane)
        seen[lane] = (name.get(), np.geterr()["divide"])
        if lane:
            name.set("lane")

    name.set("caller")
    with np.errstate(divide="raise"):
        parallel(named, 3)
    assert seen == dict.fromkeys(range(3), ("caller", "raise"))
    assert name.get() == "caller"


def test_errstate_of_the_caller_holds_in_a_helper():
    task, _ = meeting(2)

    def divide(lane):
        task(lane)
        np.divide(np.ones(4), np.zeros(4))

    with np.errstate(all="ignore"):
        parallel(divide, 2)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        parallel(divide, 2)


@pytest.mark.parametrize("failing", [(0,), (2,), (1, 2), (0, 1, 2), (3,)])
def test_the_lowest_lanes_error_is_raised_when_all_have_ended(failing):
    task, _ = meeting(3)
    ended = []

    def fail_here(lane):
        raise ValueError(lane)

    def failing_task(lane):
        if lane < 3:
            task(lane)
        ended.append(lane)
        if lane in failing:
            fail_here(lane)

    with pytest.raises(ValueError, match=f"^{failing[0]}$") as caught:
        parallel(failing_task, 4 if failing == (3,) else 3)
    assert set(ended) >= {0, 1, 2}
    assert [frame.name for frame in traceback.extract_tb(caught.tb)][-2:] == ["failing_task", "fail_here"]
    task, _ = meeting(3)
    parallel(task, 3)


def test_a_failure_of_the_callers_lane_does_not_drop_the_others():
    runs = []

    def task(lane):
        runs.append(lane)
        raise KeyError(lane)

    with pytest.raises(KeyError, match="0"):
        parallel(task, 5)
    assert sorted(runs) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("lane", [0, 1])
def test_an_exit_in_a_lane_is_raised_in_the_caller(lane):
    task, _ = meeting(2)

    def leave(index):
        task(index)
        if index == lane:
            sys.exit(7)

    with pytest.raises(SystemExit, match="7"):
        parallel(leave, 2)


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_keeps_nothing_alive(failing):
    class Data:
        pass

    def call():
        data = Data()
        meet, _ = meeting(2)

        def task(lane):
            meet(lane)
            if lane == failing:
                raise ValueError(data)

        with pytest.raises(ValueError):  # noqa: PT011 - what is raised is tested elsewhere
            parallel(task, 2)
        return weakref.ref(data)

    gc.disable()
    try:
        held = call()
        until(lambda: held() is None)
    finally:
        gc.enable()


def test_an_idle_helper_keeps_nothing_alive():
    class Data:
        pass

    def call():
        data = Data()
        meet, _ = meeting(2)
        parallel(lambda lane: (meet(lane), data), 2)
        return weakref.ref(data)

    gc.disable()
    try:
        held = call()
        until(lambda: held() is None)
    finally:
        gc.enable()
    assert len(helpers()) == 1


def test_an_interrupt_of_the_callers_lane_drops_what_has_not_begun():
    task, _ = meeting(2)
    ran = []

    def interrupted(lane):
        ran.append(lane)
        if lane == 0:
            raise KeyboardInterrupt

    def outer(lane):
        if lane == 0:
            with pytest.raises(KeyboardInterrupt):
                parallel(interrupted, 2)
        task(lane)

    parallel(outer, 2)
    assert ran == [0]


@needs_fork
@pytest.mark.parametrize("forking", [0, 1])
def test_a_lane_that_forks_loses_the_others_in_the_child(forking):
    task, _ = meeting(2)
    released = threading.Event()
    status = []

    def forking_task(lane):
        task(lane)
        if lane != forking:
            released.wait()
            return
        status.append(forked(lambda: None))
        released.set()

    parallel(forking_task, 2)
    assert status == [0]


@needs_fork
def test_the_call_of_a_lane_that_forked_raises_in_the_child():
    task, _ = meeting(2)
    released = threading.Event()
    pids = []

    def forking_task(lane):
        task(lane)
        if lane:
            released.wait()
            return
        pids.append(fork())
        if pids[0]:
            released.set()

    try:
        parallel(forking_task, 2)
    except ConvirError as error:
        assert pids == [0]
        os._exit(42 if "forked" in str(error) else 43)
    assert status_of(pids[0]) == 42
