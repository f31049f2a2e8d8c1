"""Compiled steps in one go: alone, patched from tile to tile, and handed to helpers in every order of events."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

from hypothesis import given
from hypothesis import strategies as st
from support.interleavings import Pointer, Thread, World, every_end, generators

from convir.runtime.native import build, chain
from convir.runtime.native.chain import ASLEEP, JOB, MAILBOX_COLUMNS, POSTED, READY, RUNNING, WAKE
from convir.runtime.native.compiler import Job
from convir.runtime.native.entries import address_of, entries

SOURCE = Path(str(chain.__file__)).read_text("utf-8")

STEPS = '''
from convir.runtime.native.vectors import float64s


def append(addresses):
    """addresses: a log, whose first number says how long it is, and a number."""
    log = float64s(addresses[0], 1000)
    number = float64s(addresses[1], 1)
    log[0] = log[0] + 1.0
    log[int(log[0])] = number[0]
'''


@pytest.fixture(scope="module")
def append():
    return build.code_of(Job("append", STEPS))


def table(*rows) -> np.ndarray:
    return np.array(rows, np.intp)


# One thread


@given(st.lists(st.integers(-100, 100), max_size=20))
def test_walking_runs_every_step_in_order(append, numbers):
    log, values = np.zeros(1000), np.array(numbers, float)
    addresses = [table(log.ctypes.data, value.ctypes.data) for value in values[:, None]]
    program = table(*[(append.address, each.ctypes.data) for each in addresses])
    entries().walk(program.ctypes.data, len(numbers))
    assert log[: len(numbers) + 1].tolist() == [len(numbers), *numbers]


class Lane:
    """A job whose steps log what tile it is, and after it what row; ``rows`` are (first tile, how many)."""

    def __init__(self, append, counter, tiles, rows):
        self.log, self.keep = np.zeros(1000), []
        self.base = np.arange(tiles, dtype=float)
        bases = self.kept(self.base.ctypes.data)
        made = [self.row(append, number, *row) for number, row in enumerate(rows)]
        self.job = self.kept(counter.ctypes.data, tiles, bases.ctypes.data, len(rows), self.kept(*made).ctypes.data)

    def row(self, append, number, first, count):
        label = self.kept_floats(1000 + number)
        tile, row = (self.kept(self.log.ctypes.data, place) for place in (0, label.ctypes.data))
        program = self.kept((append.address, tile.ctypes.data), (append.address, row.ctypes.data))
        # The tile's number lies in the caller's array, from tile to tile eight bytes on.
        patch = self.kept((tile.ctypes.data + 8, 0, 8))
        return (2, program.ctypes.data, 1, patch.ctypes.data, first, count)

    def kept(self, *rows):
        self.keep.append(table(*rows))
        return self.keep[-1]

    def kept_floats(self, *values):
        self.keep.append(np.array(values, float))
        return self.keep[-1]

    def logged(self):
        return self.log[1 : 1 + int(self.log[0])].tolist()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 3))
def test_a_lane_runs_every_tile_in_its_row(append, counts, taken):
    """Tiles that other lanes have taken before are left out."""
    firsts = [sum(counts[:place]) for place in range(len(counts))]
    rows = [(first, count) for first, count in zip(firsts, counts, strict=True) if count] or [(0, 0)]
    counter, tiles = table(taken), sum(counts)
    lane = Lane(append, counter, tiles, rows)
    entries().finish(lane.job.ctypes.data, 0, 0, 0)
    row_of = [number for number, (_, count) in enumerate(rows) for _ in range(count)]
    assert lane.logged() == [each for tile in range(taken, tiles) for each in (tile, 1000 + row_of[tile])]
    assert counter[0] > tiles - 1


def test_copying_is_a_step():
    source, target = np.arange(10.0), np.zeros(10)
    addresses = table(source.ctypes.data, target.ctypes.data, 24)
    code = build.code_of(build.job_in(chain, "copy", "void(CPointer(intp))"))
    assert code.address
    program = table((entries().copy, addresses.ctypes.data))
    entries().walk(program.ctypes.data, 1)
    assert target.tolist() == [0, 1, 2, *[0] * 7]


@pytest.mark.parametrize("before", [ASLEEP, READY])
def test_posting_says_who_has_to_be_woken(before):
    mailboxes = [np.array([before, 0, 0]), np.array([READY, 0, 0]), np.array([before, 0, 1])]
    addresses = table(*[mailbox.ctypes.data for mailbox in mailboxes])
    woken = [int(before == ASLEEP), 0, 1]
    assert entries().post(addresses.ctypes.data, 3) == sum(woken)
    assert [mailbox.tolist() for mailbox in mailboxes] == [[POSTED, 0, wake] for wake in woken]


def test_the_caller_takes_back_what_no_helper_has_begun(append):
    lane = Lane(append, table(0), 3, [(0, 3)])
    mailboxes = [np.array([state, 0, 0]) for state in (POSTED, READY, POSTED)]
    addresses = table(*[mailbox.ctypes.data for mailbox in mailboxes])
    entries().finish(lane.job.ctypes.data, addresses.ctypes.data, 2, entries().give_way)
    assert [mailbox[0] for mailbox in mailboxes] == [READY, READY, POSTED]
    assert len(lane.logged()) == 6


@pytest.mark.parametrize("state", [ASLEEP, POSTED])
def test_a_helper_runs_what_is_posted_and_falls_asleep(append, state):
    lane = Lane(append, table(0), 3, [(0, 3)])
    mailbox = np.array([state, lane.job.ctypes.data, 0])
    entries().serve(mailbox.ctypes.data)
    assert mailbox[0] == ASLEEP
    assert len(lane.logged()) == (6 if state == POSTED else 0)


@pytest.mark.parametrize("is_writable", [True, False])
@pytest.mark.parametrize("shape", [(3,), (2, 3), (0,), ()])
def test_where_an_array_lies(shape, is_writable):
    array = np.zeros(shape)
    array.flags.writeable = is_writable
    assert address_of(array) == array.ctypes.data
    if array.ndim:
        assert address_of(array[..., 1:]) == array[..., 1:].ctypes.data


# In every order of events


class Protocol:
    """Calls by one caller, with helpers, on a memory that a scheduler watches.

    Args:
        helpers: how many.
        tiles: for each call, how many.
        interrupted: numbers of calls whose caller is interrupted before it wakes anybody.
    """

    def __init__(self, helpers: int, tiles: tuple[int, ...], interrupted: tuple[int, ...] = ()) -> None:
        self.helpers, self.tiles, self.interrupted = helpers, tiles, interrupted
        self.memory: dict[int, int] = {}
        self.steps = generators(SOURCE, ["mailbox"], self.memory, LOOKS=1)
        self.now = self.words(-1)
        self.runs = [[self.words(0) for _ in range(count)] for count in tiles]
        self.ran = [self.words(*[0] * (helpers + 1)) for _ in tiles]
        self.locks = [self.words(0) for _ in range(helpers)]
        self.mailboxes = [self.words(*[0] * MAILBOX_COLUMNS) for _ in range(helpers)]
        self.table = self.words(*self.mailboxes)
        self.jobs = [[self.job(call, lane) for lane in range(helpers + 1)] for call in range(len(tiles))]

    def words(self, *values: int) -> int:
        """New words; their address."""
        address = 8 * (len(self.memory) + 1)
        self.memory.update({address + 8 * place: value for place, value in enumerate(values)})
        return address

    def job(self, call: int, lane: int) -> int:
        """A job with one step, which is called with the number of its tile."""
        if not lane:
            self.counter = self.words(0)
        tile, bases = self.words(0), self.words(0)
        program = self.words(100 * call + lane, tile)
        row = self.words(1, program, 1, self.words(tile, 0, 1), 0, self.tiles[call])
        return self.words(self.counter, self.tiles[call], bases, 1, row)

    def world(self) -> World:
        """All threads at their beginning."""
        helpers = [Thread(self.helper(place)) for place in range(self.helpers)]
        return World(self, self.memory, [Thread(self.caller(), rests=True), *helpers], self.tile)

    def tile(self, function: int, address: int) -> None:
        """A tile runs."""
        call, lane = divmod(function, 100)
        assert self.memory[self.now] == call, "a lane of a call that has ended"
        self.memory[self.runs[call][self.memory[address]]] += 1
        self.memory[self.ran[call] + 8 * lane] = 1

    def caller(self):
        """What :class:`convir.runtime.native.crew.Crew` does."""
        for call, (first, *others) in enumerate(self.jobs):
            self.memory[self.now] = call
            for mailbox, job in zip(self.mailboxes, others, strict=True):
                yield "poke", mailbox + 8 * JOB, job
            asleep = yield from self.steps["post"](Pointer(self.memory, self.table), self.helpers)
            if asleep and call not in self.interrupted:
                for mailbox, lock in zip(self.mailboxes, self.locks, strict=True):
                    if self.memory[mailbox + 8 * WAKE]:
                        yield "poke", lock, 1
                        self.memory[mailbox + 8 * WAKE] = 0
            yield from self.steps["finish"](
                Pointer(self.memory, first), Pointer(self.memory, self.table), self.helpers, 0
            )
            assert [self.memory[tile] for tile in self.runs[call]] == [1] * self.tiles[call]
            assert RUNNING not in [self.memory[mailbox] for mailbox in self.mailboxes]
        self.memory[self.now] = -1

    def helper(self, place: int):
        """What a thread of it does, which waits for a lock."""
        lock = self.locks[place]
        while True:
            yield "until", lambda: self.memory[lock]
            self.memory[lock] = 0
            yield from self.steps["serve"](Pointer(self.memory, self.mailboxes[place]))

    def check_end(self, world: World) -> tuple[tuple[int, ...], ...]:
        """All calls have returned, and the helpers sleep so that they will be woken; which lanes ran tiles."""
        assert world.threads[0].step is None, "the caller waits for ever"
        for mailbox, lock in zip(self.mailboxes, self.locks, strict=True):
            state, _, wake = (self.memory[mailbox + 8 * column] for column in range(MAILBOX_COLUMNS))
            assert self.memory[lock] == 0
            assert state == ASLEEP or (state == READY and wake)
        lanes = range(self.helpers + 1)
        return tuple(tuple(self.memory[call + 8 * lane] for lane in lanes) for call in self.ran)


def ends(*arguments) -> tuple[int, set]:
    """How many ends there are; and which lanes ran tiles, call by call."""
    count, ran = 0, set()
    for end in every_end(lambda: Protocol(*arguments).world()):
        ran.add(end.owner.check_end(end))
        count += 1
    return count, ran


def by_any_lane(tiles: int, lanes: int) -> set[tuple[int, ...]]:
    """Which lanes may have run tiles: any, but not more than there are tiles."""
    return {ran for ran in itertools.product((0, 1), repeat=lanes) if 0 < sum(ran) <= tiles}


CASES = {
    "one call": (1, (2,)),
    "a call after the other": (1, (1, 1)),
    "an interrupt before the helper is woken": (1, (1, 1), (0,)),
    "longer calls": pytest.param((1, (2, 2)), marks=pytest.mark.slow),
    "two helpers": pytest.param((2, (2,)), marks=pytest.mark.slow),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_in_every_order_of_events_each_tile_runs_once_and_in_its_call(case):
    helpers, tiles, *_ = case
    count, ran = ends(*case)
    assert count >= len(ran)
    # Whatever can happen does: a helper comes for the next call, too, awake or asleep.
    everything = set(itertools.product(*[by_any_lane(each, helpers + 1) for each in tiles]))
    if len(case) == 2:
        assert ran == everything
    else:
        assert ran == {each for each in everything if each[0] == (1, 0)}
