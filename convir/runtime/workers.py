"""Worker threads: lanes of one call side by side on a process-wide pool of helper threads.

A lane is compiled code of 50 to 200 microseconds that releases the GIL, so waking a helper and waiting for it must cost
little. A raw ``threading.Lock`` as binary semaphore carries it, each way. Two lanes of 50 microseconds on two idle CPUs
of a virtual machine, Python 3.11, microseconds over one lane alone (``benchmarks/worker_latency.py``)::

    Lock 14, with a timeout 14;  SimpleQueue 14;  os.eventfd 14-15;  Condition 18;  Semaphore 20;  Event 19

:func:`parallel` itself, which also claims, counts and copies the context, costs 24. Most of it is the kernel's: a
sleeping thread takes 10 to 20 to wake. A copy of the context costs 0.03.

A helper needs the GIL to begin: it gets it when the caller's lane enters compiled code that releases it. A lane that
keeps it delays the others by ``sys.getswitchinterval()``, 5 milliseconds; that setting is the user's and stays. Lanes
that are chains of short NumPy calls take the GIL between any two: two lanes gain nothing, or lose, while one call is
shorter than about 10 microseconds (0.5 to 0.9 times the speed of one lane after the other), and 1.4 times at 15.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from threading import Lock, RLock, Thread
from typing import Literal

from convir.ir import ConvirError

IDLE_SECONDS = 1.5
"""How long a helper waits for another lane before it ends."""

Task = Callable[[int], None]
Claimant = Literal["caller", "helper"]


def parallel(task: Task, lanes: int) -> None:
    """Run ``task(0)`` to ``task(lanes - 1)``, the first in the calling thread, the others in helper threads.

    It returns when all are done. A lane that no helper has begun when the calling thread is free runs there, so lanes
    must not wait for each other; several threads may call this at once, and a task may. A lane in a helper runs in a
    copy of the caller's :mod:`contextvars` context, NumPy's ``errstate`` among it.

    Args:
        task: what to run; called with the lane's number. It should release the GIL nearly all the time.
        lanes: how many; the call starts no helper when ``lanes - 1`` are alive.

    Raises:
        BaseException: what the lane of the lowest number raised, after all lanes have ended. An interrupt of the
            calling thread: lanes that have begun are waited for, the others are dropped.
        ConvirError: ``lanes`` is less than 1; or a lane forked the process, and this is the child, where the lanes that
            helpers were running are lost.
    """
    if lanes <= 1:
        if lanes < 1:
            raise ConvirError(f"a call has at least one lane, not {lanes}")
        task(0)
        return
    work = [_Lane(task, index) for index in range(lanes)]
    helpers: list[_Helper] = []
    interrupt: BaseException | None = None
    try:
        helpers = _pool.hand_out(work[1:])
        for lane in work:
            lane.run_here()
    except BaseException as error:
        interrupt = error
    # Nothing below may be left early: a helper could still write to memory that the caller uses again. Not a function
    # and not a `finally`, because an interrupt could come between its call and its `try`.
    while True:
        try:
            for lane in work:
                lane.wait()
            break
        except BaseException as error:
            interrupt = error
    _pool.take_back(helpers)
    errors = [interrupt, *(lane.take_error() for lane in work)]
    interrupt = None
    _raise_first(errors)


def _raise_first(errors: list[BaseException | None]) -> None:
    for error in errors:
        if error is not None:
            try:
                raise error
            finally:
                # The error's traceback holds the frames, which must not hold the error: a cycle keeps arrays alive.
                del error
                errors.clear()


class _Lane:
    """One lane of a call; whoever claims it first runs it."""

    __slots__ = ("_claimed", "_context", "_done", "_error", "_finished", "_index", "_task")

    def __init__(self, task: Task, index: int) -> None:
        self._error: BaseException | None = None
        self._task = task
        self._index = index
        self._context = copy_context()
        self._claimed: dict[None, Claimant] = {}
        self._finished = False
        self._done = Lock()
        self._done.acquire()

    def run_here(self) -> None:
        """Run the task in the calling thread, unless a helper has claimed it; an interrupt is raised at once."""
        if self._claim("caller"):
            self._run(Exception)

    def run_in_helper(self) -> None:
        """Run the task in a helper, in the caller's context, unless the caller has claimed it."""
        if self._claim("helper"):
            self._context.run(self._run, BaseException)
            self._finish()

    def wait(self) -> None:
        """Wait for the helper that has claimed the lane; again, when an interrupt broke off an earlier wait."""
        if not self._claim("caller"):
            while not self._finished:
                self._done.acquire()

    def take_error(self) -> BaseException | None:
        """What the task raised and nobody has raised yet."""
        error, self._error = self._error, None
        return error

    def lose(self) -> None:
        """After a fork, in the child: a helper that runs the lane does not exist here."""
        if not self._claim("caller") and not self._finished:
            self._error = ConvirError("a lane forked the process; the lanes beside it are lost in the child")
            self._finish()

    def _claim(self, claimant: Claimant) -> bool:
        """Whether the lane is the claimant's: the same answer however often it asks, so also after an interrupt."""
        return self._claimed.setdefault(None, claimant) == claimant  # One atomic step.

    def _run(self, kept: type[BaseException]) -> None:
        try:
            self._task(self._index)
        except kept as error:
            self._error = error

    def _finish(self) -> None:
        self._finished = True
        self._done.release()


class _Helper:
    """A thread that waits for lanes, and ends when none came for a while.

    A lane that reaches it too late, while it ends, is not lost: nobody claims it, so the caller does.
    """

    def __init__(self, pool: _Pool) -> None:
        self.lane: _Lane | None = None
        self.ended = False
        self._stopping = False
        self._pool = pool
        self._go = Lock()
        self._go.acquire()
        # A daemon: the interpreter must be able to end although a daemon thread of the user is inside a call.
        self._thread = Thread(target=self._serve, name="convir-helper", daemon=True)

    def start(self) -> None:
        """Start the thread; RuntimeError where the system or an ending interpreter has none to give."""
        self._thread.start()

    def hand(self, lane: _Lane) -> None:
        """Wake the thread to run ``lane``."""
        self.lane = lane
        self._wake()

    def stop(self) -> None:
        """End the thread, which must be idle, and wait for it."""
        self._stopping = True
        self._wake()
        self._thread.join(timeout=IDLE_SECONDS)

    def _wake(self) -> None:
        # It is not locked if the thread has yet to wake up for an earlier lane, which its caller took over.
        if self._go.locked():
            self._go.release()

    def _serve(self) -> None:
        while self._go.acquire(timeout=IDLE_SECONDS) and not self._stopping:
            if (lane := self.lane) is not None:
                lane.run_in_helper()
            # An idle helper should hold no lane, and no arrays.
            lane = None
        self.ended = True
        self._pool.forget(self)


class _Pool:
    """The helper threads of the process.

    Callers take idle helpers and put them back themselves: a helper is idle again the moment its caller goes on.
    Single list and set operations are atomic; the lock is for counting before a start.
    """

    def __init__(self) -> None:
        self._idle: list[_Helper] = []
        self._alive: set[_Helper] = set()
        # Reentrant: a signal handler or a finalizer may call while its own thread holds it.
        self._starting = RLock()

    def hand_out(self, lanes: Sequence[_Lane]) -> list[_Helper]:
        """Hand lanes to helpers, from the last on: the caller works up from the first. Returns the helpers."""
        helpers = []
        for lane in reversed(lanes):
            helper = self._take() or self._start(len(lanes))
            if helper is None:
                break
            helper.hand(lane)
            helpers.append(helper)
        return helpers

    def take_back(self, helpers: Sequence[_Helper]) -> None:
        """Helpers of a call that has ended are idle."""
        for helper in helpers:
            helper.lane = None
            self._idle.append(helper)

    def forget(self, helper: _Helper) -> None:
        """A helper has ended."""
        self._alive.discard(helper)
        with suppress(ValueError):
            self._idle.remove(helper)

    def stop_idle(self) -> None:
        """End the idle helpers and wait for them."""
        while helper := self._take():
            helper.stop()

    def lose_lanes(self) -> None:
        """After a fork, in the child: no helper lives on."""
        for helper in self._alive:
            if helper.lane is not None:
                helper.lane.lose()

    def _take(self) -> _Helper | None:
        try:
            while (helper := self._idle.pop()).ended:
                pass
        except IndexError:
            return None
        return helper

    def _start(self, most: int) -> _Helper | None:
        """A new helper, if fewer than ``most`` are alive and the system has a thread to give."""
        with self._starting:
            if len(self._alive) >= most:
                return None
            helper = _Helper(self)
            self._alive.add(helper)
            try:
                helper.start()
            except BaseException as error:
                self._alive.discard(helper)
                if not isinstance(error, RuntimeError):
                    raise
                return None
            return helper


_pool = _Pool()


def stop_idle_helpers() -> None:
    """End the helper threads that have nothing to do, and wait for them; the next call starts new ones."""
    _pool.stop_idle()


def _renew_pool() -> None:
    global _pool
    inherited, _pool = _pool, _Pool()
    inherited.lose_lanes()


atexit.register(stop_idle_helpers)
if hasattr(os, "register_at_fork"):
    # Idle helpers should not make a fork one of a process with threads: Python 3.12 warns of those.
    os.register_at_fork(before=stop_idle_helpers, after_in_child=_renew_pool)
