"""Runs a workload on all engines: start each, compare what they compute, then time them in turn."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from harness.client import Worker, WorkerError
from harness.engines import Engine
from harness.results import EngineResult, WorkloadResult
from harness.timing import in_turn
from harness.workloads import Workload, prepare

#: Seconds of a burst, and the most calls in one. A call longer than that makes a burst of its own.
BURST_SECONDS, MOST_CALLS = 0.15, 2000
#: Largest relative difference between two engines' float32 results, by norm: sums are in different orders. A gradient
#: may differ by more: where two pixels of a pooling window are equal but for rounding, another one gets the window's,
#: and Winograd's filtering, which rounds ten times as much, has ten times as many of those (2e-3 in the CIFAR net).
TOLERANCE, TRAINING_TOLERANCE = 1e-3, 1e-2

Say = Callable[[str], None]


def measure(workload: Workload, engines: list[Engine], threads: int, rounds: int, say: Say) -> WorkloadResult:
    """Time every engine that can run the workload, and give the reason for every other one."""
    with tempfile.TemporaryDirectory(prefix="convir-benchmark-") as name, ExitStack() as stack:
        folder = Path(name)
        flops = prepare(workload, folder, threads)
        runs = []
        for engine in engines:
            say(f"{workload.name}: starting {engine.title}")
            # One at a time: the others wait, idle, so that a cold start has the machine to itself.
            runs.append(_Run(engine, stack.enter_context(Worker(engine.name, folder, threads)), folder))
        ready = [run for run in runs if run.ready]
        for run in ready:
            run.compare(ready[0], TRAINING_TOLERANCE if workload.training else TOLERANCE)
            run.calibrate()
        for number, which in in_turn(rounds, len(runs)):
            say(f"{workload.name}: round {number + 1} of {rounds}, {runs[which].engine.title}")
            runs[which].burst()
        results = tuple(run.result() for run in runs)
    return WorkloadResult(workload.name, workload.family, workload.batch, workload.training, flops, results)


class _Run:
    """An engine at work on a workload."""

    def __init__(self, engine: Engine, worker: Worker, folder: Path) -> None:
        self.engine = engine
        self._worker = worker
        self._arrays = folder / f"{engine.name}.npz"
        self._calls = 1
        self._bursts: list[dict[str, Any]] = []
        report = dict(worker.report)
        self._found = EngineResult(engine.name, report.pop("status"), **report)

    @property
    def ready(self) -> bool:
        """Whether it takes part."""
        return self._found.status == "ready"

    def compare(self, reference: _Run, tolerance: float) -> None:
        """Take part only with results that agree with the reference's."""
        difference = largest_difference(self._arrays, reference._arrays)
        self._found = replace(self._found, difference=difference)
        if not difference <= tolerance:
            reason = f"results differ from {reference.engine.title}'s by {difference:.1e}, more than {tolerance:.0e}"
            self._fail("disagrees", reason)

    def calibrate(self) -> None:
        """Settle how many calls make a burst."""
        seconds = self._run(3)
        if seconds:
            self._calls = max(1, min(MOST_CALLS, round(BURST_SECONDS / median(seconds["seconds"]))))

    def burst(self) -> None:
        """A round."""
        answer = self._run(self._calls)
        if answer:
            self._bursts.append(answer)

    def result(self) -> EngineResult:
        """What was found, in full; ends the process."""
        if not self.ready:
            return self._found
        try:
            peak = self._worker.finish()
        except WorkerError as error:
            self._fail("failed", str(error))
            return self._found
        return replace(
            self._found,
            status="measured",
            peak_bytes=peak,
            calls=self._calls,
            busy_cores=median(burst["busy_cores"] for burst in self._bursts),
            other_cores=tuple(burst["other_cores"] for burst in self._bursts if burst["other_cores"] is not None),
            settling_seconds=max(burst["settling_seconds"] for burst in self._bursts),
            seconds=tuple(median(burst["seconds"]) for burst in self._bursts),
        )

    def _run(self, calls: int) -> dict[str, Any] | None:
        if not self.ready:
            return None
        try:
            return self._worker.run(calls)
        except WorkerError as error:
            self._fail("failed", str(error))
            return None

    def _fail(self, status: str, reason: str) -> None:
        self._found = replace(self._found, status=status, reason=reason)


def largest_difference(found: Path, expected: Path) -> float:
    """Over all arrays of two ``.npz`` files: norm of the difference over the expected norm; inf where shapes differ."""
    import numpy as np

    with np.load(found) as ours, np.load(expected) as theirs:
        pairs = [(ours[name], theirs[name]) for name in theirs.files if name in ours.files]
        if len(pairs) != len(theirs.files) or any(a.shape != b.shape for a, b in pairs):
            return float("inf")
        return max(float(np.linalg.norm(a - b) / max(float(np.linalg.norm(b)), 1e-30)) for a, b in pairs)
