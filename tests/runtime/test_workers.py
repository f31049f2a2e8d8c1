"""Lanes on worker threads: results, sharing, errors, interrupts, idleness, fork and exit."""

from __future__ import annotations

import contextvars
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
import weakref

import numpy as np
import pytest

from convir import ConvirError
from convir.runtime import workers
from convir.runtime.workers import parallel, stop_idle_helpers

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def helpers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "convir-helper" and thread.is_alive()]


def until(condition, seconds=20.0):
    """Wait for a condition; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)


@pytest.fixture(autouse=True)
def _no_helper_stays():
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


def test_a_lane_that_its_helper_is_late_for_runs_in_the_calling_thread(monkeypatch):
    monkeypatch.setattr(workers._Helper, "hand", lambda helper, lane: None)
    runs = []
    parallel(lambda lane: runs.append((lane, threading.current_thread())), 3)
    assert runs == [(lane, threading.current_thread()) for lane in range(3)]


def test_a_system_without_threads_runs_all_in_the_caller(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    runs = []
    parallel(runs.append, 3)
    assert runs == [0, 1, 2]
    assert workers._pool._alive == set()


def test_idle_helpers_end_and_new_ones_start(monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.02)
    task, _ = meeting(3)
    parallel(task, 3)
    until(lambda: not helpers())
    assert workers._pool._alive == set()
    assert workers._pool._idle == []
    task, threads = meeting(3)
    parallel(task, 3)
    assert len(set(threads)) == 3


def test_calls_meet_helpers_that_are_just_ending(monkeypatch):
    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.0005)
    runs = []
    for turn in range(300):
        parallel(runs.append, 3)
        time.sleep(turn % 10 * 1e-4)
    assert sorted(runs) == sorted([0, 1, 2] * 300)
    until(lambda: not workers._pool._alive)
    # One that ended just before its caller put it back is sorted out when it is taken.
    assert workers._pool._take() is None


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


@pytest.fixture
def _interrupts():
    """Ctrl-C raises KeyboardInterrupt, also in a background process, which may have been started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interrupts")
@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread on this system")
@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_waits_for_the_helpers(times):
    main = threading.main_thread().ident
    waiting = threading.Event()
    ended = []

    def task(lane):
        if lane == 0:
            waiting.wait()
            return
        waiting.set()
        for _ in range(times):
            time.sleep(0.03)
            signal.pthread_kill(main, signal.SIGINT)
        time.sleep(0.1)
        ended.append(lane)

    with pytest.raises(KeyboardInterrupt):
        parallel(task, 2)
    assert ended == [1]
    task, _ = meeting(2)
    parallel(task, 2)


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


@pytest.mark.slow
# An interrupt in one of threading's own weak reference callbacks cannot be raised.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers on this system")
def test_after_an_interrupt_at_any_moment_no_lane_runs(monkeypatch):
    armed = False

    def interrupt(*_):
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    monkeypatch.setattr(workers, "IDLE_SECONDS", 0.05)
    before = signal.signal(signal.SIGALRM, interrupt)
    random = np.random.default_rng(0)
    interrupts = 0
    for turn in range(3000):
        active = [0] * 3

        def task(lane, active=active):
            active[lane] = 1
            time.sleep(1e-5)
            active[lane] = 0

        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 4e-4))
            parallel(task, 3)
            armed = False
        except KeyboardInterrupt:
            interrupts += 1
        seen = list(active)
        time.sleep(2e-5)
        assert active == seen, turn
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert interrupts > 100
    until(lambda: not helpers())
    assert workers._pool._alive == set()


def forked(child) -> int:
    """Runs ``child`` in a fork; its exit status."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork while there are threads; this is about just that.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        status = 1
        try:
            child()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def works_in_a_child():
    assert helpers() == []
    task, threads = meeting(3)
    parallel(task, 3)
    assert len(set(threads)) == 3
    a = np.random.default_rng(0).standard_normal((2, 100, 100))
    out = np.zeros_like(a)
    parallel(lambda lane: np.matmul(a[lane], a[lane], out[lane]), 2)
    np.testing.assert_allclose(out, [np.einsum("ij,jk", x, x) for x in a])


@needs_fork
def test_a_fork_ends_the_idle_helpers_and_the_child_starts_its_own():
    task, _ = meeting(3)
    parallel(task, 3)
    assert forked(works_in_a_child) == 0
    assert helpers() == []
    task, _ = meeting(3)
    parallel(task, 3)


@needs_fork
def test_a_fork_while_helpers_are_busy():
    released, inside = threading.Event(), threading.Barrier(3, timeout=20)
    runs = []

    def task(lane):
        inside.wait()
        released.wait()
        runs.append(lane)

    caller = threading.Thread(target=parallel, args=(task, 2))
    caller.start()
    inside.wait()
    try:
        assert forked(works_in_a_child) == 0
    finally:
        released.set()
        caller.join()
    assert sorted(runs) == [0, 1]


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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pids.append(os.fork())
        if pids[0]:
            released.set()

    try:
        parallel(forking_task, 2)
    except ConvirError as error:
        assert pids == [0]
        os._exit(42 if "forked" in str(error) else 43)
    _, status = os.waitpid(pids[0], 0)
    assert os.waitstatus_to_exitcode(status) == 42


@needs_fork
def test_a_multiprocessing_pool_of_forks():
    task, _ = meeting(2)
    parallel(task, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = multiprocessing.get_context("fork").Process(target=works_in_a_child)
        process.start()
    process.join()
    assert process.exitcode == 0


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-W", "error", "-c", code], text=True, capture_output=True, timeout=60)


START = "import threading, time, atexit; from convir.runtime.workers import parallel\n"
ENDINGS = {
    "idle helpers": "parallel(lambda lane: time.sleep(0.01), 4)",
    "an error": "parallel(lambda lane: time.sleep(0.01), 4); raise SystemExit(0)",
    "a daemon inside": "threading.Thread(target=parallel, args=(lambda lane: time.sleep(99), 3), daemon=True).start()\n"
    "time.sleep(0.1)",
    "a call at exit": "parallel(lambda lane: time.sleep(0.01), 2)\n"
    "atexit.register(parallel, lambda lane: time.sleep(0.01), 3)",
    "a call after the helpers' end": "import convir.runtime.workers as w; atexit.unregister(w.stop_idle_helpers)\n"
    "atexit.register(parallel, lambda lane: time.sleep(0.01), 3); atexit.register(w.stop_idle_helpers)",
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends(ending):
    result = python(START + ENDINGS[ending] + "\nprint('end', flush=True)" * (ending != "an error"))
    assert (result.returncode, result.stderr) == (0, "")


def test_importing_it_starts_no_thread():
    assert python(START + "print(threading.active_count())").stdout == "1\n"
