"""Helper threads that run lanes of compiled code without Python in between.

A thread that sleeps takes 20 to 60 microseconds to wake, longest on a virtual machine whose idle
core has to be woken too; a whole LeNet-5 on eight images takes 80. So after a lane a helper looks for the
next one for some 100 microseconds, as the threads of OpenMP and ONNX Runtime do for longer, and
then sleeps. A lane that no helper has begun when the caller is through is taken back: nobody waits
for a thread to wake up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from threading import get_ident

import numpy as np

from convir.runtime.helpers import Call, Claim, Helper, Pool, lost
from convir.runtime.kernels import Array
from convir.runtime.native.chain import JOB, MAILBOX_COLUMNS, READY, RUNNING, STATE, WAKE
from convir.runtime.native.entries import Entries, address_of, entries

_serves = attrgetter("serves")


class _Helper(Helper):
    """A thread that serves its mailbox; see :mod:`convir.runtime.native.chain` for the columns."""

    def __init__(self, serve: Callable[[int], None]) -> None:
        super().__init__("convir-native-helper")
        self.mailbox: Array = np.zeros(MAILBOX_COLUMNS, np.intp)
        self.address = address_of(self.mailbox)
        self._serve_mailbox = serve

    def work(self) -> None:
        self._serve_mailbox(self.address)


@dataclass(frozen=True)
class _Team:
    """Helpers, and where their mailboxes are: as one, so that an interrupt cannot come between.

    Attributes:
        helpers: the threads.
        mailboxes: the address of each one's.
        address: where those addresses lie.
    """

    helpers: Sequence[_Helper]
    mailboxes: Array
    address: int

    @classmethod
    def of(cls, helpers: Sequence[_Helper]) -> _Team:
        """The helpers with their table."""
        mailboxes = np.array([helper.address for helper in helpers], np.intp)
        return cls(helpers, mailboxes, address_of(mailboxes))

    @property
    def is_whole(self) -> bool:
        """Whether no helper has ended."""
        return all(map(_serves, self.helpers))


_NOBODY = _Team.of(())


class Crew(Pool[_Helper]):
    """Helpers that one call at a time has, all of them; other calls do without.

    Args:
        functions: those of :mod:`convir.runtime.native.chain`.
    """

    def __init__(self, functions: Callable[[], Entries] = entries) -> None:
        super().__init__()
        self.functions = functions
        self.claim = Claim()
        self._team = _NOBODY

    def run(self, jobs: Sequence[int]) -> None:
        """Run lanes side by side: ``jobs`` are the addresses of theirs, the first is the caller's.

        The lanes of a call share a counter of tiles, so those that no helper comes for are not missed.

        Raises:
            BaseException: an interrupt of the calling thread; all tiles have run.
            ConvirError: a signal handler forked the process during the call, and this is the child, where the tiles
                that helpers were running are lost.
        """
        if len(jobs) == 1:
            self.functions().finish(jobs[0], 0, 0, 0)
            return
        _Lanes(self, jobs).run()

    def team(self, count: int) -> _Team:
        """All helpers: ``count`` that are alive, or as many as the system has threads for; for who has the claim."""
        team = self._team
        if len(team.helpers) < count or not team.is_whole:
            while self.start(count):
                pass
            team = self._team = _Team.of(self.serving)
        return team

    def make(self) -> _Helper:
        return _Helper(self.functions().serve)

    def take_idle(self) -> Sequence[_Helper]:
        # Nobody waits for a call to end: a signal handler may fork in the thread that is inside it.
        return () if self.claim else self.serving

    def lose(self, helpers: Iterable[_Helper]) -> None:
        call = self.claim.holder()
        if not isinstance(call, _Lanes) or call.thread != get_ident():
            self.claim = Claim()
            return
        for helper in helpers:
            if helper.mailbox[STATE] == RUNNING:
                helper.mailbox[STATE] = READY
                call.is_lost = True


class _Lanes(Call):
    """The lanes of a call."""

    __slots__ = ("_crew", "_functions", "_jobs", "_posted", "_team", "is_lost", "thread")

    def __init__(self, crew: Crew, jobs: Sequence[int]) -> None:
        self.thread = get_ident()
        self.is_lost = False
        self._crew, self._functions, self._jobs = crew, crew.functions(), jobs
        self._team = _NOBODY
        self._posted = 0

    def begin(self) -> None:
        """Offer every lane but the first to a helper, and wake those that sleep."""
        if not self._crew.claim.take(self):
            return
        others = self._jobs[1:]
        self._team = team = self._crew.team(len(others))
        helpers = team.helpers[: len(others)]
        for helper, job in zip(helpers, others, strict=False):
            helper.mailbox[JOB] = job
        # Before they are offered: what is not there cannot be taken back, what is there must be.
        self._posted = len(helpers)
        if self._functions.post(team.address, self._posted):
            for helper in helpers:
                if helper.mailbox[WAKE]:
                    helper.wake()
                    helper.mailbox[WAKE] = 0

    def finish(self) -> None:
        """Run the caller's own lane, and what no helper has begun; wait for the others."""
        functions, claim = self._functions, self._crew.claim
        if claim.holder() is not self:
            functions.finish(self._jobs[0], 0, 0, 0)
            return
        functions.finish(self._jobs[0], self._team.address, self._posted, functions.give_way)
        claim.give_up()

    def take_error(self) -> BaseException | None:
        return lost() if self.is_lost else None


_crew = Crew()


def run_lanes(jobs: Sequence[int]) -> None:
    """Run lanes by the process's crew: see :meth:`Crew.run`."""
    _crew.run(jobs)
