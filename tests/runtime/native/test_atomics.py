"""Words that several threads look at: each function alone against Python's integers, and many threads at once."""

from __future__ import annotations

import ctypes
import platform
import re
import threading
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

import numba
from hypothesis import given
from hypothesis import strategies as st

from convir.runtime.native import build
from convir.runtime.native.compiler import Job

ROUNDS = 200_000

MODULE = '''
from numba import njit

from convir.runtime.native.atomics import (
    address_of, call, copy_bytes, exchange, fetch_add, pause, peek, poke, replace_if, words
)


def add(address, value):
    return fetch_add(address, value)


def swap(address, value):
    return exchange(address, value)


def compare(address, expected, value):
    return 1 if replace_if(address, expected, value) else 0


def load(address):
    return peek(address)


def store(address, value):
    poke(address, value)
    return 0


def copy(target, source, count):
    copy_bytes(target, source, count)
    return 0


def there_and_back(address):
    return address_of(words(address))


def second(address):
    return words(address)[1]


def increment(numbers):
    numbers[0] += 1


def call_it(function, address):
    call(function, address)
    return 0


def rest():
    pause()
    return 0


@njit(forceinline=True)
def together(start, threads):
    """Wait until so many threads are here."""
    fetch_add(start, 1)
    looks = 0
    while peek(start) < threads and looks < 100000000:
        pause()
        looks += 1


def draw(start, counter, drawn, rounds):
    """Every number of a counter goes to one thread."""
    out = words(drawn)
    together(start, 2)
    for turn in range(rounds):
        out[turn] = fetch_add(counter, 1)
    return 0


def pass_on(start, word, held, rounds):
    """Leave a token, take another."""
    mine = words(held)
    together(start, 2)
    for turn in range(rounds):
        mine[0] = exchange(word, mine[0])
    return 0


def raise_it(start, count, unused, rounds):
    """Add one, if nobody else did meanwhile; again until it works."""
    together(start, 2)
    for turn in range(rounds):
        while True:
            before = peek(count)
            if replace_if(count, before, before + 1):
                break
    return 0


def watch(flag, looks):
    """Whether somebody sets the flag, with nothing in the loop but the look."""
    while looks > 0:
        if peek(flag) != 0:
            return 1
        looks -= 1
    return 0


def send(flag, message, rounds):
    """Write a message, say so, wait for the answer; returns how many were answered in time."""
    text = words(message)
    for turn in range(1, rounds + 1):
        text[0] = 3 * turn
        text[1] = 5 * turn
        poke(flag, turn)
        looks = 0
        while peek(flag) != -turn:
            pause()
            looks += 1
            if looks == 100000000:
                return turn - 1
    return rounds


def receive(flag, message, rounds):
    """Wait for each message and answer; returns how many were whole."""
    text = words(message)
    whole = 0
    for turn in range(1, rounds + 1):
        looks = 0
        while peek(flag) != turn:
            pause()
            looks += 1
            if looks == 100000000:
                return whole
        if text[0] == 3 * turn and text[1] == 5 * turn:
            whole += 1
        poke(flag, -turn)
    return whole
'''

WORD = st.integers(-(2**63), 2**63 - 1)


def compiled(name: str, arguments: int) -> object:
    """A function of the module, called without the GIL."""
    signature = f"intp({', '.join(['intp'] * arguments)})"
    code = build.code_of(Job(name, MODULE, signature))
    function = ctypes.CFUNCTYPE(ctypes.c_ssize_t, *[ctypes.c_ssize_t] * arguments)(code.address)
    function.code = code
    return function


@pytest.fixture(scope="module")
def functions():
    counts = {"add": 2, "swap": 2, "compare": 3, "load": 1, "store": 2, "copy": 3, "there_and_back": 1, "second": 1}
    counts |= {"call_it": 2, "rest": 0, "draw": 4, "pass_on": 4, "raise_it": 4, "send": 3, "receive": 3}
    counts |= {"watch": 2}
    return {name: compiled(name, count) for name, count in counts.items()}


def word(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def at_once(*calls) -> list[int]:
    """What functions return that run in threads of their own, all at once."""
    barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

    def run(place, function, arguments):
        barrier.wait()
        results[place] = function(*arguments)

    threads = [
        threading.Thread(target=run, args=(place, function, arguments))
        for place, (function, *arguments) in enumerate(calls)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def wrapped(value: int) -> int:
    """As a 64-bit number."""
    return (value + 2**63) % 2**64 - 2**63


@given(WORD, WORD, WORD)
def test_one_thread(functions, before, value, other):
    number = word(7, before, 9)
    place = number.ctypes.data + 8
    assert functions["load"](place) == before
    assert functions["add"](place, value) == before
    assert functions["load"](place) == wrapped(before + value)
    assert functions["swap"](place, other) == wrapped(before + value)
    assert functions["compare"](place, wrapped(other + 1), value) == 0
    assert number[1] == other
    assert functions["compare"](place, other, value) == 1
    assert number[1] == value
    functions["store"](place, before)
    assert number.tolist() == [7, before, 9]


@given(st.binary(min_size=1, max_size=300), st.integers(0, 40), st.integers(0, 40))
def test_copied_bytes(functions, content, skip, gap):
    source = np.frombuffer(content, np.uint8)
    skip = min(skip, len(source))
    target = np.zeros(len(source) + gap + 1, np.uint8)
    functions["copy"](target.ctypes.data + gap, source.ctypes.data + skip, len(source) - skip)
    expected = bytes(gap) + content[skip:]
    assert target.tobytes() == expected + bytes(target.size - len(expected))


def test_pointers(functions):
    numbers = word(11, 22)
    assert functions["there_and_back"](numbers.ctypes.data) == numbers.ctypes.data
    assert functions["second"](numbers.ctypes.data) == 22


def test_a_call_of_compiled_code(functions):
    increment, numbers = build.code_of(Job("increment", MODULE, "void(CPointer(intp))")), word(41)
    functions["call_it"](increment.address, numbers.ctypes.data)
    assert numbers[0] == 42


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "riscv64"])
def test_resting_is_nothing_where_the_processor_has_no_such_instruction(machine, monkeypatch):
    if platform.machine().lower() not in ("x86_64", "amd64"):
        pytest.skip("the names are those of another processor")
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert compiled("rest", 0)() == 0


def in_two_threads(function, shared, own) -> None:
    """Each has a row of ``own``; they begin together."""
    start = word(0)
    at_once(*[(function, start.ctypes.data, shared.ctypes.data, row.ctypes.data, ROUNDS) for row in own])
    assert start[0] == 2


def test_every_number_is_drawn_once(functions):
    counter, drawn = word(0), np.zeros((2, ROUNDS), np.int64)
    in_two_threads(functions["draw"], counter, drawn)
    np.testing.assert_array_equal(np.sort(drawn, axis=None), np.arange(2 * ROUNDS))
    # A thread's numbers grow: what it draws later was not there before.
    assert (np.diff(drawn, axis=1) > 0).all()


def test_no_token_is_lost(functions):
    left, held = word(0), np.array([[1], [2]], np.int64)
    in_two_threads(functions["pass_on"], left, held)
    assert sorted([*left, *held.ravel()]) == [0, 1, 2]


def test_nobody_comes_between_looking_and_replacing(functions):
    count = word(0)
    in_two_threads(functions["raise_it"], count, np.zeros((2, 1), np.int64))
    assert count[0] == 2 * ROUNDS


def test_every_look_is_a_new_one(functions):
    """No compiler has put it before the loop."""
    flag = word(0)
    setter = threading.Timer(0.02, lambda: flag.fill(1))
    setter.start()
    assert functions["watch"](flag.ctypes.data, 10**11) == 1
    setter.join()


@pytest.mark.parametrize(
    ("name", "arguments", "promise"),
    [
        ("load", 1, "load atomic i64, .* acquire"),
        ("store", 2, "store atomic i64 .* release"),
        ("add", 2, "atomicrmw add .* seq_cst"),
        ("swap", 2, "atomicrmw xchg .* seq_cst"),
        ("compare", 3, "cmpxchg .* seq_cst seq_cst"),
    ],
)
def test_what_the_compiler_is_told_of_the_order(name, arguments, promise):
    """Processors that keep more order than that would not show what is missing."""
    names: dict[str, Any] = {}
    exec(MODULE, names)
    function = numba.njit(f"intp({', '.join(['intp'] * arguments)})")(names[name])
    assert re.search(promise, function.inspect_llvm(function.signatures[0]))


def test_who_sees_a_flag_sees_what_was_written_before(functions):
    flag, message = word(0), word(0, 0)
    sent, whole = at_once(
        *[(functions[name], flag.ctypes.data, message.ctypes.data, 200) for name in ("send", "receive")]
    )
    assert (sent, whole) == (200, 200)
