"""Compiling several functions at once, in processes: Numba holds a lock while it compiles.

The processes are plain interpreters that run :mod:`convir.runtime.native.worker`. Nothing is forked, so
threads may run meanwhile, and the user's ``__main__`` is not imported again.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, Self

from convir.runtime.native.compiler import CompileError, Job, compile_job
from convir.runtime.native.objects import ObjectCode
from convir.runtime.native.worker import READY, question

#: Functions from which on processes are started. Each spends half a second of CPU on its imports; two idle cores take,
#: with LeNet-5's functions (seconds in this process, in two): 4 of them 1.5 and 1.4, 8 2.5 and 1.8, 33 8.3 and 4.5.
FEWEST = 6

#: Processes that may end without an answer, until a function counts as one that cannot be compiled.
ATTEMPTS = 2

Outcome = tuple[Job, ObjectCode | CompileError]


def process_count(jobs: int, most: int) -> int:
    """How many processes ``jobs`` are worth, at most ``most``; 0 for none."""
    # In a frozen application sys.executable is the application.
    if jobs < FEWEST or most < 2 or not sys.executable or getattr(sys, "frozen", False):
        return 0
    return min(most, jobs)


def compile_here(jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
    """Compile in this process, one after the other."""
    for job in jobs:
        try:
            yield job, compile_job(job)
        except CompileError as error:
            yield job, error


def compile_in_processes(jobs: Sequence[Job], processes: int) -> Generator[Outcome | None, None, None]:
    """Compile in so many processes; yields outcomes as they come, and None after a second without one."""
    pool = _Pool(jobs)
    threads = [Thread(target=pool.serve, name="convir-compile", daemon=True) for _ in range(processes)]
    try:
        for thread in threads:
            thread.start()
        left = dict.fromkeys(jobs)
        while left:
            try:
                outcome = pool.outcomes.get(timeout=1)
            except Empty:
                yield None
                if _alive(threads):
                    continue
                # A signal handler has forked, and this is the child.
                yield from compile_here(list(left))
                return
            del left[outcome[0]]
            yield outcome
    finally:
        if _alive(threads):
            pool.stop()
        for thread in _alive(threads):
            thread.join()


def _alive(threads: Sequence[Thread]) -> Sequence[Thread]:
    return [thread for thread in threads if thread.is_alive()]


class _Pool:
    """Jobs that are left, the longest last; outcomes; and the processes that are alive."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self._left = sorted(jobs, key=lambda job: len(job.text))
        self._lock = Lock()
        self.stopped = False
        self._alive: set[subprocess.Popen[str]] = set()

    def serve(self) -> None:
        """Have jobs done by one process, or its successors, until none is left."""
        with _Worker(self) as worker:
            while (job := self._take()) is not None:
                self.outcomes.put((job, worker.outcome(job)))

    def stop(self) -> None:
        """End everything: nobody waits for what is left."""
        with self._lock:
            self.stopped = True
            self._left.clear()
            for process in self._alive:
                process.kill()

    def start(self) -> subprocess.Popen[str] | None:
        """A process that is ready for jobs; None where there cannot be one."""
        with self._lock:
            if self.stopped:
                return None
            try:
                process = _started()
            except OSError:
                return None
            self._alive.add(process)
        while line := _line(process):
            if line == READY:
                return process
        self.end(process)
        return None

    def end(self, process: subprocess.Popen[str]) -> int:
        """End a process and wait for it; returns its status."""
        process.kill()
        # Not while others are started or stopped: a process that is gone must not be signalled.
        with self._lock:
            self._alive.discard(process)
            status = process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        return status

    def _take(self) -> Job | None:
        with self._lock:
            return self._left.pop() if self._left else None


class _Worker:
    """One process, started when it is needed and replaced when it has ended."""

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._pool.end(self._process)

    def outcome(self, job: Job) -> ObjectCode | CompileError:
        """The job's object code, or why there is none."""
        status = 0
        for _ in range(ATTEMPTS):
            self._process = self._process or self._pool.start()
            if self._pool.stopped:
                break
            if self._process is None:
                return next(compile_here([job]))[1]
            reply = _asked(self._process, job)
            if reply is not None:
                return reply
            status = self._pool.end(self._process)
            self._process = None
        return CompileError(f"the process that compiles it ended {ATTEMPTS} times, with status {status}")


def _started() -> subprocess.Popen[str]:
    """A worker that finds convir and Numba where this process does, and nothing in the current folder."""
    path = os.pathsep.join(os.path.abspath(folder) for folder in sys.path if folder)
    command = [sys.executable, "-P", "-m", "convir.runtime.native.worker"]
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, text=True, encoding="ascii", **pipes)


def _asked(process: subprocess.Popen[str], job: Job) -> ObjectCode | CompileError | None:
    """The answer of a process; None where it has ended, or says something else."""
    assert process.stdin is not None
    try:
        process.stdin.write(question(job))
        process.stdin.flush()
        reply = json.loads(_line(process) or "{}")
    except (OSError, ValueError):
        return None
    if reply.get("key") != job.key:
        return None
    if "error" in reply:
        return CompileError(reply["error"])
    return ObjectCode.from_bytes(base64.b64decode(reply["object"]))


def _line(process: subprocess.Popen[str]) -> str:
    """What it says next; empty when it has ended."""
    assert process.stdout is not None
    try:
        return process.stdout.readline()
    except (OSError, ValueError):
        return ""
