"""What a signal handler does in the middle of a call: raise, or call as well."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from support.forks import until
from support.helper_kinds import PYTHON
from support.moments import every_moment

from convir.runtime import helpers

needs_signals = pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to a thread on this system")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "is_warm"),
    [("python", True), ("python", False), ("native", False), ("awake", True)],
    indirect=["kind"],
)
def test_an_interrupt_at_any_moment_leaves_nothing_half(kind, is_warm):
    kind.works()
    interrupts = 0
    for moment in every_moment(kind.modules(), interrupt):
        if not is_warm:
            helpers.stop_idle_helpers()
        squares = kind.squares(7, 3, slow=True)
        try:
            with moment:
                squares.run()
        except KeyboardInterrupt:
            interrupts += 1
        seen = squares.y.copy()
        assert_whole_tiles(kind, squares)
        kind.works()
        # No lane of the call that was interrupted runs on.
        np.testing.assert_array_equal(squares.y, seen)
    assert interrupts == moment.number > 20


def assert_whole_tiles(kind, squares) -> None:
    """Lanes of Python that have not begun are dropped; compiled ones run to the end if the call has begun."""
    expected = squares.x**2
    ran = [bool(tile.any()) for tile in squares.y]
    for tile, has_run, square in zip(squares.y, ran, expected, strict=True):
        np.testing.assert_array_equal(tile, square if has_run else 0)
    if kind is not PYTHON:
        assert all(ran) or not any(ran)


@pytest.fixture
def _interrupts():
    """Ctrl-C raises KeyboardInterrupt, also in a background process, which may have been started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@needs_signals
@pytest.mark.usefixtures("_interrupts")
@pytest.mark.parametrize("times", [1, 3])
def test_an_interrupt_waits_for_the_helpers(kind, times):
    main = threading.main_thread().ident
    gate = kind.gate(2, 10**9)

    def disturb():
        until(lambda: gate.arrived == 2)
        for _ in range(times):
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(0.02)
        gate.open()

    disturber = threading.Thread(target=disturb)
    disturber.start()
    with pytest.raises(KeyboardInterrupt):
        gate.run()
    assert gate.is_open
    disturber.join()
    kind.works()


@needs_signals
@pytest.mark.slow
# An interrupt in one of threading's own weak reference callbacks cannot be raised.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupts_at_random_times(kind, monkeypatch):
    armed = False

    def handle(*_):
        nonlocal armed
        if armed:
            armed = False
            raise KeyboardInterrupt

    monkeypatch.setattr(helpers, "IDLE_SECONDS", 0.05)
    before = signal.signal(signal.SIGALRM, handle)
    random, interrupts = np.random.default_rng(0), 0
    for _ in range(3000):
        squares = kind.squares(4, 3)
        try:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-6, 2e-4))
            squares.run()
            armed = False
        except KeyboardInterrupt:
            interrupts += 1
        seen = squares.y.copy()
        assert_whole_tiles(kind, squares)
        time.sleep(2e-5)
        np.testing.assert_array_equal(squares.y, seen)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert interrupts > 100
    until(lambda: not kind.threads())
    monkeypatch.setattr(helpers, "IDLE_SECONDS", 60)
    kind.works()


@pytest.mark.parametrize("kind", ["python", "native", "awake"], indirect=True)
def test_a_signal_handler_may_call_at_any_moment(kind):
    kind.works()
    inner = kind.squares(5, 3)

    def call():
        inner.run()
        inner.check()

    for moment in every_moment(kind.modules(), call):
        squares = kind.squares(7, 3, slow=True)
        with moment:
            squares.run()
        squares.check()
    assert inner.runs == moment.number > 20
    kind.works()
