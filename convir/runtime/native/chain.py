"""Calling many compiled functions in one go: for one thread, and for lanes that take tiles from one counter.

Everything here is compiled; what it works on are tables of 64-bit numbers, most of them addresses.
"""

from __future__ import annotations

from typing import Any

from numba import njit

from convir.runtime.native.atomics import (
    address_of,
    call,
    copy_bytes,
    exchange,
    fetch_add,
    pause,
    peek,
    poke,
    replace_if,
    words,
)

#: Columns of a helper's mailbox: its state, its job, and whether it has to be woken.
STATE, JOB, WAKE, MAILBOX_COLUMNS = range(4)

#: States of a helper: it waits for a lock; it looks for a lane; there is one for it; it is running it.
ASLEEP, READY, POSTED, RUNNING = range(4)

#: Looks at the state before a helper falls asleep: some 100 microseconds.
LOOKS = 4000

#: Columns of a job: the counter that the lanes share, how many tiles there are, the addresses of the caller's arrays,
#: how many rows, where they are.
COUNTER, TILES, BASES, ROWS, TABLE, JOB_COLUMNS = range(6)

#: Columns of a row: steps (how many, where), patches (how many, where), the first tile and how many.
STEPS, PROGRAM, PATCHES, PATCH_TABLE, FIRST, COUNT, ROW_COLUMNS = range(7)

#: Columns of a patch: what to overwrite, which of the caller's arrays, bytes from tile to tile.
WHERE, BASE, STRIDE, PATCH_COLUMNS = range(4)


def copy(addresses: Any) -> None:
    """One step: copy ``addresses[2]`` bytes from ``addresses[0]`` to ``addresses[1]``."""
    copy_bytes(addresses[1], addresses[0], addresses[2])


@njit(forceinline=True)
def run(program: Any, count: int) -> None:
    """``program`` holds, for each of ``count`` steps, where its function and its addresses lie."""
    for step in range(count):
        call(program[2 * step], program[2 * step + 1])


def walk(program: Any, count: int) -> None:
    """:func:`run`, to be called from Python."""
    run(program, count)


@njit(forceinline=True)
def lane(job: Any) -> None:
    """Take tiles until there are none left, and run each."""
    row = words(job[TABLE])
    left = job[ROWS]
    tile = fetch_add(job[COUNTER], 1)
    while tile < job[TILES]:
        while left > 1 and tile >= row[FIRST] + row[COUNT]:
            row = words(job[TABLE] + 8 * ROW_COLUMNS * (job[ROWS] - left + 1))
            left -= 1
        patches = words(row[PATCH_TABLE])
        bases = words(job[BASES])
        for place in range(row[PATCHES]):
            at = PATCH_COLUMNS * place
            poke(patches[at + WHERE], bases[patches[at + BASE]] + tile * patches[at + STRIDE])
        run(words(row[PROGRAM]), row[STEPS])
        tile = fetch_add(job[COUNTER], 1)


def post(mailboxes: Any, count: int) -> int:
    """Offer a lane to every helper, and note which have to be woken; returns how many, with those noted before."""
    asleep = 0
    for place in range(count):
        mailbox = words(mailboxes[place])
        if exchange(mailboxes[place], POSTED) == ASLEEP:
            mailbox[WAKE] = 1
        asleep += mailbox[WAKE]
    return asleep


def finish(job: Any, mailboxes: Any, count: int, give_way: int) -> None:
    """Run the caller's own lane, take back what no helper has begun, and wait for those that have.

    ``give_way``: address of the system's function for letting other threads run, or 0.
    """
    lane(job)
    for place in range(count):
        state = mailboxes[place]
        if not replace_if(state, POSTED, READY):
            looks = 0
            while peek(state) == RUNNING:
                pause()
                looks += 1
                if looks > LOOKS and give_way:
                    call(give_way, 0)


def serve(mailbox: Any) -> None:
    """A helper: run lanes as they come, until none has come for a while."""
    state = address_of(mailbox)
    replace_if(state, ASLEEP, READY)
    looks = 0
    while True:
        if peek(state) == POSTED and replace_if(state, POSTED, RUNNING):
            lane(words(mailbox[JOB]))
            poke(state, READY)
            looks = 0
        elif looks < LOOKS:
            pause()
            looks += 1
        elif replace_if(state, READY, ASLEEP):
            return
