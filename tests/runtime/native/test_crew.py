"""Helpers of compiled lanes, in what only they do; see ``test_helpers.py`` for what all do."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("numba")

from support import helper_kinds
from support.forks import until

from convir.runtime import helpers
from convir.runtime.native.crew import Crew


@pytest.fixture
def crew():
    crew = Crew()
    yield crew
    helpers.stop_idle_helpers()
    assert crew.serving == ()


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
