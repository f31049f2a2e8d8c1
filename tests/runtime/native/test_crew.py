"""Helpers of compiled lanes, in what only they do; see ``test_helpers.py`` for what all do."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial

import numpy as np
import pytest

pytest.importorskip("numba")

from support import helper_kinds
from support.forks import fork, in_child, needs_fork, status_of, until
from support.moments import every_moment

from convir import ConvirError
from convir.runtime import helpers
from convir.runtime.native.chain import ASLEEP, READY, RUNNING, STATE
from convir.runtime.native.crew import Crew


@pytest.fixture(autouse=True)
def _no_helper_ends_of_itself(monkeypatch):
    """One that is about to may be woken too late."""
    monkeypatch.setattr(helpers, "IDLE_SECONDS", 60)


@pytest.fixture
def crew():
    crew = Crew()
    yield crew
    helpers.stop_idle_helpers()
    assert crew.serving == ()


@pytest.mark.slow
@pytest.mark.parametrize("looks", [0, 1, 30])
def test_thousands_of_calls_while_helpers_fall_asleep_and_wake_up(looks):
    kind = helper_kinds.native(helper_kinds.crew_that_looks(looks))
    works = [kind.squares(tiles, lanes) for tiles, lanes in ((1, 2), (2, 2), (5, 3))]
    for turn in range(4000):
        works[turn % 3].run()
    for work in works:
        work.check()
    kind.meet(3)
    helpers.stop_idle_helpers()


def test_one_call_at_a_time_has_the_helpers(crew):
    kind = helper_kinds.native(crew)
    gate, squares = kind.gate(2, 10**9), kind.squares(6, 4)
    caller = threading.Thread(target=gate.run)
    caller.start()
    until(lambda: gate.arrived == 2)
    for _ in range(10):
        squares.run()
        squares.check()
    assert len(crew.serving) == 1
    gate.open()
    caller.join()
    squares.run()
    squares.check()
    assert len(crew.serving) == 3


def test_more_lanes_than_a_word_has_bits(crew):
    kind = helper_kinds.native(crew)
    squares = kind.squares(200, 80)
    for _ in range(3):
        squares.run()
        squares.check()
    assert len(crew.serving) == 79
    kind.meet(70)


def test_a_call_with_fewer_lanes_leaves_the_other_helpers_alone(crew):
    kind = helper_kinds.native(crew)
    kind.meet(4)
    everyone = set(crew.serving)
    for lanes in (2, 3, 1, 4):
        kind.meet(lanes)
    assert set(crew.serving) == everyone


def test_a_helper_that_has_ended_is_replaced(crew):
    kind = helper_kinds.native(crew)
    kind.meet(3)
    first, second = crew.serving
    first.stop()
    first.join()
    kind.meet(3)
    assert second in crew.serving
    assert first not in crew.serving
    assert len(crew.serving) == 2


def test_inputs_of_another_type_or_layout_are_copied(crew):
    squares = helper_kinds.native(crew).squares(6, 2)
    x = squares.x
    for given in (x, x.astype("f8"), np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2]):
        squares.run(given)
        squares.check()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("looks", [1, 200_000])
def test_an_interrupted_call_leaves_nothing_offered_nor_running(looks):
    crew = helper_kinds.crew_that_looks(looks)
    kind = helper_kinds.native(crew)
    kind.works()
    for moment in every_moment(kind.modules(), interrupt):
        squares = kind.squares(7, 3, slow=True)
        with suppress(KeyboardInterrupt), moment:
            squares.run()
        assert crew.claim.holder() is None
        assert {helper.mailbox[STATE] for helper in crew.serving} <= {ASLEEP, READY}
    assert moment.number > 20
    helpers.stop_idle_helpers()


@pytest.mark.slow
@needs_fork
def test_a_child_says_that_lanes_are_lost_if_they_are():
    """Whatever a helper was running when the process forked, in the middle of a call."""
    crew = helper_kinds.crew_that_looks(200_000)
    kind = helper_kinds.native(crew)
    kind.works()
    gate, running, child, lost = kind.gate(3, 0), False, -1, 0

    def fork_here():
        nonlocal running, child
        time.sleep(0.002)
        running = RUNNING in [helper.mailbox[STATE] for helper in crew.serving]
        child = fork()
        gate.open()

    for moment in every_moment(kind.modules(), fork_here):
        gate, error = kind.gate(3, 10**9), None
        # For the call in which nothing forks any more.
        late = threading.Timer(0.1, gate.open)
        late.start()
        try:
            with moment:
                gate.run()
        except ConvirError as raised:
            error = raised
        if not child:
            in_child(partial(check_child, error, running))
        late.cancel()
        assert error is None
        assert gate.arrived == 3
        assert not moment.acted or status_of(child) == 0
        lost += running
    assert lost
    helpers.stop_idle_helpers()


def check_child(error: ConvirError | None, running: bool) -> None:
    assert (error is not None) == running
    assert error is None or "forked inside a call" in str(error)
