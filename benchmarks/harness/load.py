"""What the rest of the machine was doing while we measured."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

_STAT = Path("/proc/stat")


@dataclass(frozen=True)
class Moment:
    """Clocks at one moment, in seconds.

    Attributes:
        wall: wall time.
        own: CPU time of this process, all threads.
        all: CPU time of everything on the machine; None where the system does not tell.
    """

    wall: float
    own: float
    all: float | None

    @classmethod
    def now(cls) -> Moment:
        return cls(time.perf_counter(), time.process_time(), _busy_seconds())

    def busy_cores(self, since: Moment) -> float:
        """Cores that this process kept busy."""
        return (self.own - since.own) / (self.wall - since.wall)

    def other_cores(self, since: Moment) -> float | None:
        """Cores that everybody else kept busy, to the 10 ms ticks of the system; None where it does not tell."""
        if self.all is None or since.all is None:
            return None
        return max(0.0, self.all - since.all - (self.own - since.own)) / (self.wall - since.wall)


def _busy_seconds() -> float | None:
    if not _STAT.exists():
        return None
    # user nice system idle iowait irq softirq steal: https://man7.org/linux/man-pages/man5/proc_stat.5.html
    ticks = [int(field) for field in _STAT.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
