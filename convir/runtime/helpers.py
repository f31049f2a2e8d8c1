"""Helper threads from their start to their end, and calls that they have a part in.

There are two kinds: for lanes that are Python callables (:mod:`convir.runtime.workers`) and for lanes of compiled code
(:mod:`convir.runtime.native.crew`). They are woken for different work; how their threads start and end, what a fork and
the interpreter's exit do to them, and what an interrupt of the caller may do, is the same and is here.
"""

from __future__ import annotations

import atexit
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import suppress
from threading import Lock, RLock, Thread
from typing import Any, Generic, TypeVar

from convir.ir import ConvirError

IDLE_SECONDS = 1.5
"""How long a helper waits to be woken again before it ends."""


class Call(ABC):
    """Work that helpers have a part in, and that an interrupt does not leave half.

    A helper writes to memory that the caller uses again, so whatever is raised in the calling thread, by a signal
    handler at any moment, it waits until nothing runs any more.
    """

    __slots__ = ()

    @abstractmethod
    def begin(self) -> None:
        """Hand out the work; an exception may break it off anywhere."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until nothing runs, and let the helpers go; called again when an exception broke it off."""

    @abstractmethod
    def take_error(self) -> BaseException | None:
        """What went wrong in the work; the call forgets it."""

    def run(self) -> None:
        """Begin and finish.

        Raises:
            BaseException: what interrupted the calling thread, else what went wrong in the work.
        """
        error: BaseException | None = None
        try:
            self.begin()
        except BaseException as interrupt:
            error = interrupt
        # Not a function and not a `finally`, because an interrupt could come between its call and its `try`.
        while True:
            try:
                self.finish()
                break
            except BaseException as interrupt:
                error = interrupt
        if error is None:
            error = self.take_error()
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback holds this frame, which must not hold it: a cycle keeps arrays alive.
                del error


class Claim(dict[None, object]):
    """Who has something that only one can have: whoever asks first.

    Asking again gives the same answer. A lock that is taken just before an interrupt would stay taken: nobody could
    tell by whom. A dictionary, as its methods are atomic, and quick.
    """

    __slots__ = ()

    def take(self, who: object) -> bool:
        """Whether ``who`` has it, now at the latest."""
        return self.setdefault(None, who) is who

    def holder(self) -> object | None:
        """Who has it."""
        return self.get(None)

    def give_up(self) -> None:
        """Nobody has it any more; only its holder says so."""
        self.clear()


class Helper(ABC):
    """A thread that works whenever it is woken, and ends when nobody has woken it for a while.

    It may be woken too late, while it ends, and then does nothing: its caller must not count on it.
    """

    def __init__(self, name: str) -> None:
        #: Whether there is a thread to wake.
        self.serves = False
        self._stopping = False
        # A raw lock as binary semaphore is what wakes a thread in the least time.
        self._go = Lock()
        self._go.acquire()
        # A daemon: the interpreter must be able to end although a daemon thread of the user is inside a call.
        self._thread = Thread(target=self._serve, name=name, daemon=True)

    @abstractmethod
    def work(self) -> None:
        """What it does when it is woken; raises nothing."""

    def start(self) -> None:
        """Start the thread; RuntimeError where the system or an ending interpreter has none to give."""
        self.serves = True
        try:
            self._thread.start()
        except BaseException:
            # An interrupt may have come when the thread had started.
            self.serves = self._thread.is_alive()
            raise

    def wake(self) -> None:
        """Have it work; once more, if it is working."""
        try:  # noqa: SIM105 - `suppress` costs 0.5 microseconds
            self._go.release()
        except RuntimeError:
            pass  # It has yet to wake up from the last time.

    def stop(self) -> None:
        """End the thread when it has worked; :meth:`join` waits for that."""
        self._stopping = True
        self.wake()

    def join(self) -> None:
        """Wait until the thread has ended, but no longer than it would take by itself."""
        with suppress(RuntimeError):  # Another thread has yet to start it.
            self._thread.join(timeout=IDLE_SECONDS)

    def _serve(self) -> None:
        self.serves = True
        try:
            while self._go.acquire(timeout=IDLE_SECONDS) and not self._stopping:
                self.work()
        finally:
            self.serves = False


H = TypeVar("H", bound=Helper)


class Pool(ABC, Generic[H]):
    """The helpers of one kind; ended when they are idle, before a fork, and when the interpreter exits."""

    def __init__(self) -> None:
        #: Those that serve, and maybe some that do no more. Never changed in place: who goes through it needs no lock.
        self.helpers: tuple[H, ...] = ()
        # Reentrant: a signal handler or a finalizer may call while its own thread holds it.
        self._starting = RLock()
        _pools.append(self)

    @property
    def serving(self) -> tuple[H, ...]:
        """Those that can be woken."""
        return tuple([helper for helper in self.helpers if helper.serves])

    @abstractmethod
    def make(self) -> H:
        """A helper that has not started."""

    @abstractmethod
    def take_idle(self) -> Sequence[H]:
        """Those that no call has, to be ended."""

    @abstractmethod
    def lose(self, helpers: Iterable[H]) -> None:
        """After a fork, in the child: these do not exist here, nor does what they were running."""

    def start(self, most: int) -> H | None:
        """A new helper, if fewer than ``most`` serve and the system has a thread to give."""
        with self._starting:
            serving = self.serving
            if len(serving) >= most:
                return None
            helper = self.make()
            self.helpers = (*serving, helper)
            try:
                helper.start()
            except RuntimeError:
                return None
            return helper

    def stop_idle(self) -> None:
        """End the helpers that no call has, and wait for them."""
        idle = self.take_idle()
        for helper in idle:
            helper.stop()
        for helper in idle:
            helper.join()

    def forked(self) -> None:
        """In the child of a fork: no helper lives on, nor whoever was starting one."""
        inherited, self.helpers = self.helpers, ()
        for helper in inherited:
            helper.serves = False
        self._starting = RLock()
        self.lose(inherited)


_pools: list[Pool[Any]] = []


def lost() -> ConvirError:
    """What is raised in the child of a fork from within a call, where helpers had a part of it."""
    return ConvirError(
        "the process was forked inside a call; the lanes of its helpers are lost in the child: call again"
    )


def stop_idle_helpers() -> None:
    """End the helper threads that have nothing to do, and wait for them; the next call starts new ones."""
    for pool in _pools:
        pool.stop_idle()


def _forked() -> None:
    for pool in _pools:
        pool.forked()


atexit.register(stop_idle_helpers)
if hasattr(os, "register_at_fork"):
    # Idle helpers should not make a fork one of a process with threads: Python 3.12 warns of those.
    os.register_at_fork(before=stop_idle_helpers, after_in_child=_forked)
