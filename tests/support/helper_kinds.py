"""The two kinds of helper threads behind one face: lanes that are Python callables, and lanes of compiled code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np

from convir.runtime import Copy, Row, helpers, workers

#: Floats of a tile.
WIDTH = 8

_COMPILED = """
from convir.runtime.native.atomics import fetch_add, pause, peek
from convir.runtime.native.vectors import float32s


def square(addresses):
    x = float32s(addresses[0], 8)
    y = float32s(addresses[1], 8)
    for turn in range(addresses[2]):
        pause()
    for i in range(8):
        y[i] = y[i] + x[i] * x[i]


def gate(addresses):
    fetch_add(addresses[0], 1)
    looks = 0
    while peek(addresses[0]) < peek(addresses[1]) and looks < 200000000:
        pause()
        looks += 1
    if looks == 200000000:
        fetch_add(addresses[2], 1)
"""


@dataclass
class Squares:
    """Adds the square of every number of ``x`` to ``y``: each tile must run once."""

    x: np.ndarray
    y: np.ndarray
    run_lanes: Callable[[np.ndarray], None]
    runs: int = 0

    def run(self, x: np.ndarray | None = None) -> None:
        """One call; ``x`` may be other memory with the same numbers."""
        self.runs += 1
        self.run_lanes(self.x if x is None else x)

    def check(self) -> None:
        """Every tile has run once for every call."""
        np.testing.assert_array_equal(self.y, self.runs * self.x**2)


@dataclass
class Gate:
    """Lanes that wait until so many have come.

    Attributes:
        words: how many have come, how many must, and how many waited in vain.
        run: one call.
    """

    words: np.ndarray
    run: Callable[[], None]

    @property
    def arrived(self) -> int:
        """How many have come."""
        return int(self.words[0])

    @property
    def is_open(self) -> bool:
        """Whether nobody waits."""
        return not self.words[1]

    def open(self) -> None:
        """Let all go."""
        self.words[1] = 0


@dataclass(frozen=True)
class Kind:
    """One kind of helpers.

    Attributes:
        name: of the kind.
        thread: of its threads.
        pool: finds its pool, which the child of a fork has for its own.
        modules: what a call goes through in Python.
        squares: work for so many tiles on so many lanes; ``slow=True`` for tiles that take half a millisecond.
        gate: lanes, and how many of them must come until all go.
    """

    name: str
    thread: str
    pool: Callable[[], helpers.Pool[Any]]
    modules: Callable[[], tuple[ModuleType, ...]]
    squares: Callable[..., Squares]
    gate: Callable[[int, int], Gate]

    def threads(self) -> list[threading.Thread]:
        """The helpers that there are."""
        return [thread for thread in threading.enumerate() if thread.name == self.thread and thread.is_alive()]

    def meet(self, lanes: int) -> None:
        """A call whose lanes must all be in it at once: there are helpers for all but the first."""
        gate = self.gate(lanes, lanes)
        gate.run()
        assert gate.words.tolist() == [lanes, lanes, 0]

    def works(self, lanes: int = 3) -> None:
        """Calls give right answers, and have their helpers."""
        squares = self.squares(7, lanes)
        for _ in range(3):
            squares.run()
            squares.check()
        self.meet(lanes)


def numbers(tiles: int) -> np.ndarray:
    """So many tiles, all different."""
    return np.arange(tiles * WIDTH, dtype=np.float32).reshape(tiles, WIDTH) % 251


def _python_squares(tiles: int, lanes: int, slow: bool = False) -> Squares:
    x, y = numbers(tiles), np.zeros((tiles, WIDTH), np.float32)

    def run(x: np.ndarray) -> None:
        left = iter(range(tiles))

        def lane(number: int) -> None:
            for tile in left:
                if slow:
                    time.sleep(0.0005)
                y[tile] += x[tile] ** 2

        workers.parallel(lane, lanes)

    return Squares(x, y, run)


def _python_gate(lanes: int, needed: int) -> Gate:
    words = np.array([0, needed, 0], np.intp)
    lock = threading.Lock()

    def lane(number: int) -> None:
        with lock:
            words[0] += 1
        end = time.monotonic() + 20
        while words[0] < words[1] and time.monotonic() < end:
            time.sleep(0.0005)
        words[2] += words[0] < words[1]

    return Gate(words, lambda: workers.parallel(lane, lanes))


PYTHON = Kind(
    "python", "convir-helper", lambda: workers._pool, lambda: (helpers, workers), _python_squares, _python_gate
)


def native(crew: Any) -> Kind:
    """The helpers of a crew."""
    from convir.runtime.native import crew as module
    from convir.runtime.native import lanes as tables

    return Kind(
        "native",
        "convir-native-helper",
        lambda: crew,
        lambda: (helpers, module, tables),
        lambda *size, **options: _native_squares(crew, *size, **options),
        lambda lanes, needed: _native_gate(crew, lanes, needed),
    )


def crew_that_looks(looks: int) -> Any:
    """A crew whose helpers fall asleep after so many looks for a lane."""
    from convir.runtime.native import chain, entries
    from convir.runtime.native.crew import Crew

    text = f"LOOKS = {chain.LOOKS}\n"
    jobs = entries.jobs()
    assert all(text in job.text for job in jobs.values())
    functions = entries.Entries(
        {name: replace(job, text=job.text.replace(text, f"LOOKS = {looks}\n")) for name, job in jobs.items()}
    )
    return Crew(lambda: functions)


@dataclass
class _Step:
    """A compiled step by itself, as lanes see it."""

    code: Any
    arrays: tuple[np.ndarray, ...]
    number: int = 0
    guard: None = None
    addresses: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.addresses = np.array([*(array.ctypes.data for array in self.arrays), self.number], np.intp)


def _code(name: str) -> Any:
    from convir.runtime.native import build
    from convir.runtime.native.compiler import Job

    return build.code_of(Job(name, _COMPILED))


def _native_squares(crew: Any, tiles: int, lanes: int, slow: bool = False) -> Squares:
    from convir.runtime.native.lanes import NativeLanes

    def row() -> Row:
        x, y = np.zeros(WIDTH, np.float32), np.zeros(WIDTH, np.float32)
        step: Any = _Step(_code("square"), (x, y), 10_000 if slow else 0)
        return Row([step], (Copy(x, 0, x.nbytes), Copy(y, 1, y.nbytes)), (Copy(y, 2, y.nbytes),), 0, tiles)

    x, y = numbers(tiles), np.zeros((tiles, WIDTH), np.float32)
    made = NativeLanes([[row()] for _ in range(lanes)], crew.run)
    return Squares(x, y, lambda x: made.run([x, y, y]))


def _native_gate(crew: Any, lanes: int, needed: int) -> Gate:
    from convir.runtime.native.lanes import NativeLanes

    words = np.array([0, needed, 0], np.intp)
    step: Any = _Step(_code("gate"), (words[:1], words[1:2], words[2:]))
    made = NativeLanes([[Row([step], (), (), 0, lanes)] for _ in range(lanes)], crew.run)
    return Gate(words, lambda: made.run([]))
