"""Forks of a process whose helpers are idle, busy, or just being woken: child and parent work."""

from __future__ import annotations

import multiprocessing
import threading
import warnings
from functools import partial

import pytest
from support.forks import fork, forked, in_child, needs_fork, status_of, until
from support.helper_kinds import Kind, Squares
from support.moments import every_moment

from convir import ConvirError
from convir.runtime import helpers


def in_the_child(kind: Kind) -> None:
    """There are no helpers; calls start their own."""
    assert kind.threads() == []
    kind.works()


@needs_fork
def test_a_fork_ends_the_idle_helpers_and_the_child_starts_its_own(kind):
    kind.works()
    assert forked(lambda: in_the_child(kind)) == 0
    assert kind.threads() == []
    kind.works()


@needs_fork
def test_a_fork_while_another_thread_is_inside_a_call(kind):
    gate = kind.gate(2, 10**9)
    caller = threading.Thread(target=gate.run)
    caller.start()
    until(lambda: gate.arrived == 2)
    busy = kind.threads()
    try:
        assert forked(lambda: in_the_child(kind)) == 0
        squares = kind.squares(5, 2)
        squares.run()
        squares.check()
    finally:
        gate.open()
        caller.join()
    kind.meet(2)
    assert kind.threads() == busy


@pytest.mark.slow
@needs_fork
@pytest.mark.parametrize(
    ("kind", "is_warm"),
    [
        ("python", True),
        ("awake", True),
        pytest.param("python", False, marks=pytest.mark.slow),
        pytest.param("native", False, marks=pytest.mark.slow),
    ],
    indirect=["kind"],
)
def test_a_fork_at_any_moment_of_a_call(kind, is_warm):
    """As by a signal handler; where the child's call has lost a lane it says so."""
    kind.works()
    children = []

    def fork_here():
        children.append(fork())
        if children[-1]:
            assert status_of(children[-1]) == 0

    for moment in every_moment(kind.modules(), fork_here):
        if not is_warm:
            helpers.stop_idle_helpers()
        squares, error = kind.squares(7, 3, slow=True), None
        try:
            with moment:
                squares.run()
        except BaseException as raised:
            error = raised
        if 0 in children:
            in_child(partial(after_the_fork, kind, squares, error))
        assert error is None
        squares.check()
    kind.works()
    assert len(children) == moment.number > 20


def after_the_fork(kind: Kind, squares: Squares, error: BaseException | None) -> None:
    """In the child of a fork in a call: it is right, or says what is wrong, and the next one is right."""
    if error is None:
        squares.check()
    else:
        assert isinstance(error, ConvirError), error
        assert "forked inside a call" in str(error)
    kind.works()


@needs_fork
def test_a_multiprocessing_pool_of_forks(kind):
    kind.works()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        process = multiprocessing.get_context("fork").Process(target=in_the_child, args=(kind,))
        process.start()
    process.join()
    assert process.exitcode == 0
