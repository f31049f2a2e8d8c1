"""Helper threads that run lanes of compiled code without Python in between.

A thread that sleeps takes 20 to 60 microseconds to wake, longest on a virtual machine whose idle
core has to be woken too; a whole LeNet-5 on eight images takes 80. So after a lane a helper looks for the
next one for some 100 microseconds, as the threads of OpenMP and ONNX Runtime do for longer, and
then sleeps. A lane that no helper has begun when the caller is through is taken back: nobody waits
for a thread to wake up.
"""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Sequence
from functools import cache
from threading import Lock, Thread
from typing import Any

import numpy as np

from convir.runtime.kernels import Array
from convir.runtime.native import build, chain

#: How long a helper sleeps before it ends.
IDLE_SECONDS = 1.5
#: Which helpers sleep is told in the bits of one number.
MOST_HELPERS = 63


class Crew:
    """The helpers of the process; one call at a time has them, others do without."""

    def __init__(self) -> None:
        self._helpers: list[_Helper] = []
        self._mailboxes: Array = np.zeros(0, np.intp)
        self._address = 0
        self._posted = 0
        self._taken = Lock()

    def run(self, jobs: Sequence[int]) -> None:
        """Run lanes side by side: ``jobs`` are the addresses of theirs, the first is the caller's.

        The lanes of a call share a counter of tiles, so those that no helper comes for are not missed. An interrupt is
        raised when all tiles have run.
        """
        functions = _functions()
        if len(jobs) == 1 or not self._taken.acquire(blocking=False):
            functions.finish(jobs[0], 0, 0, 0)
            return
        self._posted, interrupt = 0, None
        try:
            self._post(jobs, functions)
        except BaseException as error:
            interrupt = error
        # Nothing below may be left early: a helper could still write to memory that the caller uses again. Not a
        # function and not a `finally`, because an interrupt could come between its call and its `try`.
        while True:
            try:
                functions.finish(jobs[0], self._address, self._posted, functions.give_way)
                break
            except BaseException as error:
                interrupt = error
        self._taken.release()
        if interrupt is not None:
            raise interrupt

    def _post(self, jobs: Sequence[int], functions: _Functions) -> None:
        """Offer every lane but the first to a helper, and wake those that sleep."""
        count = self._ready(min(len(jobs) - 1, MOST_HELPERS))
        for place in range(count):
            self._helpers[place].mailbox[1] = jobs[place + 1]
        self._posted = count
        asleep = functions.post(self._address, count)
        for place in range(count if asleep else 0):
            if asleep >> place & 1:
                self._helpers[place].wake()

    def stop(self) -> None:
        """End all helpers and wait for them, unless a call has them."""
        # Not waiting: a signal handler may fork in the thread that is inside a call.
        if not self._taken.acquire(blocking=False):
            return
        for helper in self._helpers:
            helper.stop()
        self._helpers.clear()
        self._taken.release()

    def _ready(self, count: int) -> int:
        """Have ``count`` helpers that are alive, or as many as the system has threads for; returns how many."""
        if len(self._helpers) >= count and not any(helper.ended for helper in self._helpers):
            return count
        alive = [helper for helper in self._helpers if not helper.ended]
        while len(alive) < count:
            helper = _Helper()
            try:
                helper.start()
            except RuntimeError:
                break
            alive.append(helper)
        self._helpers = alive
        self._mailboxes = np.array([helper.address for helper in alive], np.intp)
        self._address = address_of(self._mailboxes)
        return min(count, len(alive))


class _Helper:
    """A thread that serves its mailbox, and ends when it has slept for long."""

    def __init__(self) -> None:
        self.mailbox: Array = np.zeros(2, np.intp)
        self.address: int = self.mailbox.ctypes.data
        self.ended = False
        self._stopping = False
        self._go = Lock()
        self._go.acquire()
        self._thread = Thread(target=self._serve, name="convir-native-helper", daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError where the system has none to give."""
        self._thread.start()

    def wake(self) -> None:
        """There is something in the mailbox."""
        if self._go.locked():
            self._go.release()

    def stop(self) -> None:
        """End the thread, which must have no lane, and wait for it."""
        self._stopping = True
        self.wake()
        self._thread.join(timeout=IDLE_SECONDS)

    def _serve(self) -> None:
        serve = _functions().serve
        while self._go.acquire(timeout=IDLE_SECONDS) and not self._stopping:
            serve(self.address)
        self.ended = True


#: The functions of :mod:`convir.runtime.native.chain` that are called from outside it, and their types.
_SIGNATURES = {
    "walk": "void(CPointer(intp), intp)",
    "post": "intp(CPointer(intp), intp)",
    "finish": "void(CPointer(intp), CPointer(intp), intp, intp)",
    "serve": "void(CPointer(intp))",
    "copy": "void(CPointer(intp))",
}


class _Functions:
    """The compiled parts, as functions of addresses; Python's other threads run meanwhile."""

    def __init__(self) -> None:
        jobs = {name: build.job_in(chain, name, signature) for name, signature in _SIGNATURES.items()}
        build.compile_all(jobs.values())
        self._code = {name: build.code_of(job) for name, job in jobs.items()}
        word = ctypes.c_ssize_t
        self.walk: Any = ctypes.CFUNCTYPE(None, word, word)(self._code["walk"].address)
        self.post: Any = ctypes.CFUNCTYPE(word, word, word)(self._code["post"].address)
        self.finish: Any = ctypes.CFUNCTYPE(None, word, word, word, word)(self._code["finish"].address)
        self.serve: Any = ctypes.CFUNCTYPE(None, word)(self._code["serve"].address)
        self.copy: int = self._code["copy"].address
        self.give_way = _give_way()


@cache
def _functions() -> _Functions:
    return _Functions()


def walk() -> Any:
    """``walk(program, count)``: one call from Python for ``count`` steps."""
    return _functions().walk


def copy_address() -> int:
    """Where the step that copies bytes lies."""
    return _functions().copy


def address_of(array: Array) -> int:
    """Where an array's first element lies; a third of the time of ``array.ctypes.data``."""
    address: int = array.__array_interface__["data"][0]
    return address


def _give_way() -> int:
    """The address of ``sched_yield``, or 0 where there is none."""
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0


_crew = Crew()


def run_lanes(jobs: Sequence[int]) -> None:
    """Run lanes by the process's crew: see :meth:`Crew.run`."""
    _crew.run(jobs)


def stop_helpers() -> None:
    """End the helper threads, and wait for them; the next call starts new ones."""
    _crew.stop()


def _renew() -> None:
    global _crew
    _crew = Crew()


atexit.register(stop_helpers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=stop_helpers, after_in_child=_renew)
