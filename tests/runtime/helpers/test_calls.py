"""Calls that helpers have a part in: results, however often and from wherever, and threads that end when idle."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.forks import until

from convir.runtime import helpers

needs_tasks = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list its threads")


@given(tiles=st.integers(1, 40), lanes=st.integers(1, 9))
@settings(max_examples=30)
def test_every_tile_runs_once(kind, tiles, lanes):
    squares = kind.squares(tiles, lanes)
    for _ in range(3):
        squares.run()
        squares.check()
    assert len(kind.threads()) <= 8


def test_lanes_run_at_the_same_time_on_helpers_that_serve_again(kind):
    kind.meet(4)
    threads = kind.threads()
    assert len(threads) == 3
    for lanes in (2, 3, 4):
        kind.meet(lanes)
    assert set(kind.threads()) == set(threads)


def test_thousands_of_quick_calls(kind):
    works = [kind.squares(tiles, lanes) for tiles, lanes in ((1, 2), (2, 2), (3, 3), (9, 4))]
    for turn in range(6000):
        work = works[turn % 4]
        work.run()
        if turn % 500 == 0:
            time.sleep(0.001)
        if turn % 100 < 4:
            work.check()
    for work in works:
        work.check()


def test_calls_from_many_threads_at_once(kind):
    works = [kind.squares(1 + index % 5, 2 + index % 3) for index in range(8)]
    wrong: list[BaseException] = []

    def call(work):
        try:
            for _ in range(200):
                work.run()
                work.check()
        except BaseException as error:
            wrong.append(error)

    callers = [threading.Thread(target=call, args=(work,)) for work in works]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
    # The call with most lanes starts helpers up to what it needs, however many others have.
    assert len(kind.threads()) <= 3
    kind.meet(4)


def test_a_system_without_threads_runs_all_in_the_caller(kind, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        squares = kind.squares(5, 3)
        squares.run()
        squares.check()
        assert kind.pool().serving == ()
    kind.meet(3)


def test_a_helper_that_wakes_up_too_late_is_not_waited_for(kind, monkeypatch):
    kind.meet(3)
    time.sleep(0.01)
    squares, late = kind.squares(5, 3), []
    with monkeypatch.context() as patch:
        patch.setattr(helpers.Helper, "wake", lambda helper: late.append(helper))
        for _ in range(3):
            squares.run()
            squares.check()
    for helper in late:
        helper.wake()
    squares.check()
    kind.meet(3)


@needs_tasks
def test_idle_helpers_end_and_new_ones_start(kind, monkeypatch):
    kind.works()
    ids = {str(thread.native_id) for thread in kind.threads()}
    assert len(ids) == 2
    assert ids <= tasks()
    helpers.stop_idle_helpers()
    until(lambda: not ids & tasks())
    squares = kind.squares(5, 3)
    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(helpers, "IDLE_SECONDS", 0.02)
            squares.run()
            squares.check()
            until(lambda: not kind.threads())
        assert kind.pool().serving == ()
    kind.meet(3)


def test_calls_meet_helpers_that_are_just_ending(kind, monkeypatch):
    squares = kind.squares(4, 3)
    with monkeypatch.context() as patch:
        patch.setattr(helpers, "IDLE_SECONDS", 0.0005)
        for turn in range(300):
            squares.run()
            squares.check()
            time.sleep(turn % 10 * 1e-4)
        until(lambda: not kind.threads())
    kind.meet(3)


def tasks() -> set[str]:
    """The threads of this process, as the system numbers them."""
    return set(os.listdir("/proc/self/task"))
