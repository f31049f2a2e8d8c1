"""A whole run: the machine, its ceiling, every workload."""

from __future__ import annotations

from harness import ceiling
from harness.engines import Engine
from harness.machine import describe
from harness.measure import Say, measure
from harness.results import Results
from harness.workloads import Workload


def run(workloads: list[Workload], engines: list[Engine], threads: int, rounds: int, say: Say) -> Results:
    """Measure all; the ceiling before and after, so that a disturbance of either does not lower it."""
    say("measuring the matmul ceiling")
    before = ceiling.measured(threads)
    found = tuple(measure(workload, engines, threads, rounds, say) for workload in workloads)
    say("measuring the matmul ceiling again")
    return Results(describe(), threads, rounds, ceiling.best(before, ceiling.measured(threads)), found)
