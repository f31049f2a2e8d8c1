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

from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from threading import Lock

from convir.ir import ConvirError
from convir.runtime.helpers import Call, Claim, Helper, Pool, lost

Task = Callable[[int], None]

#: Who runs a lane.
_CALLER = "caller"


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
    if lanes < 1:
        raise ConvirError(f"a call has at least one lane, not {lanes}")
    if lanes == 1:
        task(0)
        return
    _Lanes([_Lane(task, index) for index in range(lanes)]).run()


class _Lanes(Call):
    """The lanes of a call: the first, which is the caller's, and others, which are handed out."""

    __slots__ = ("_first", "_others")

    def __init__(self, lanes: Sequence[_Lane]) -> None:
        self._first, *self._others = lanes

    def begin(self) -> None:
        _pool.hand_out(self._others, self)
        self._first.run_here()
        for lane in self._others:
            lane.run_here()

    def finish(self) -> None:
        for lane in self._others:
            lane.wait()
        _pool.take_back(self)

    def take_error(self) -> BaseException | None:
        errors = [lane.error for lane in (self._first, *self._others) if lane.error is not None]
        if not errors:
            return None
        for lane in (self._first, *self._others):
            lane.error = None
        return errors[0]


class _Lane:
    """One lane of a call; whoever claims it first runs it.

    Attributes:
        error: what the task raised and nobody has raised yet.
    """

    __slots__ = ("_claim", "_context", "_done", "_finished", "_index", "_task", "error")

    def __init__(self, task: Task, index: int) -> None:
        self.error: BaseException | None = None
        self._task = task
        self._index = index
        self._context = copy_context()
        self._claim = Claim()
        self._finished = False
        self._done = Lock()
        self._done.acquire()

    def run_here(self) -> None:
        """Run the task in the calling thread, unless a helper has claimed it; an interrupt is raised at once."""
        if self._claim.take(_CALLER):
            self._run(Exception)

    def run_in_helper(self) -> None:
        """Run the task in a helper, in the caller's context, unless somebody has claimed it.

        Nobody is the same twice: a helper that is woken again may still find the lane that it has run.
        """
        if self._claim.take(object()):
            self._context.run(self._run, BaseException)
            self._finish()

    def wait(self) -> None:
        """Wait for the helper that has claimed the lane; again, when an interrupt broke off an earlier wait."""
        if not self._claim.take(_CALLER):
            while not self._finished:
                self._done.acquire()

    def lose(self) -> None:
        """After a fork, in the child: a helper that runs the lane does not exist here."""
        if not self._claim.take(_CALLER) and not self._finished:
            self.error = lost()
            self._finish()

    def _run(self, kept: type[BaseException]) -> None:
        try:
            self._task(self._index)
        except kept as error:
            self.error = error

    def _finish(self) -> None:
        self._finished = True
        self._done.release()


class _Helper(Helper):
    """A thread that runs a lane at a time.

    A lane that reaches it too late, while it ends, is not lost: nobody claims it, so the caller does.
    """

    def __init__(self) -> None:
        super().__init__("convir-helper")
        #: Which call has it.
        self.claim = Claim()
        self.lane: _Lane | None = None

    def work(self) -> None:
        if (lane := self.lane) is not None:
            lane.run_in_helper()


class _Pool(Pool[_Helper]):
    """The helpers of Python lanes, each of which one call has.

    The callers free them themselves: a helper is free again the moment its caller goes on.
    """

    def hand_out(self, lanes: Sequence[_Lane], call: object) -> None:
        """Hand lanes to helpers, from the last on: the caller works up from the first."""
        for lane in reversed(lanes):
            helper = self._free(call) or self._started(len(lanes), call)
            if helper is None:
                break
            helper.lane = lane
            helper.wake()

    def take_back(self, call: object) -> None:
        """The call has ended, and has its helpers no more."""
        for helper in self.helpers:
            if helper.claim.holder() is call:
                helper.lane = None
                helper.claim.give_up()

    def make(self) -> _Helper:
        return _Helper()

    def take_idle(self) -> Sequence[_Helper]:
        idle, nobody = [], object()
        while helper := self._free(nobody):
            idle.append(helper)
        return idle

    def lose(self, helpers: Iterable[_Helper]) -> None:
        for helper in helpers:
            if helper.lane is not None:
                helper.lane.lose()

    def _free(self, call: object) -> _Helper | None:
        """A helper that is the call's now."""
        for helper in self.helpers:
            if helper.serves and not helper.claim and helper.claim.take(call):
                return helper
        return None

    def _started(self, most: int, call: object) -> _Helper | None:
        helper = self.start(most)
        return helper if helper is not None and helper.claim.take(call) else None


_pool = _Pool()
