"""Forks while functions are compiled: the child compiles its own, and waits for nobody."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

pytest.importorskip("numba")

from support.forks import fork, forked, in_child, needs_fork, status_of
from support.native_jobs import run, times

from convir.runtime.native import build, compiler, pool

WAITS = """
import os, time
print("ready", flush=True)
input()
while not os.path.exists({path!r}):
    time.sleep(0.01)
"""


def compiles() -> None:
    """Compiling works, and what is compiled runs."""
    build.compile_all([times(5), times(6)])
    assert [run(times(factor))[0] for factor in (5, 6)] == [5, 6]


@needs_fork
def test_a_fork_waits_for_the_compiler_which_has_locks_of_its_own(monkeypatch):
    inside, finished, real = threading.Event(), threading.Event(), compiler._compiled

    def slow(job):
        if threading.current_thread() is not builder:
            return real(job)
        inside.set()
        # The other thread is in its fork by then, or in a fork that did not wait.
        finished.wait(0.2)
        finished.set()
        return real(job)

    monkeypatch.setattr(compiler, "_compiled", slow)
    builder = threading.Thread(target=build.compile_all, args=([times(2)],))
    builder.start()
    inside.wait()

    def child():
        assert finished.is_set()
        compiles()

    assert forked(child) == 0
    builder.join()
    assert run(times(2))[0] == 2


@pytest.fixture
def processes(monkeypatch, tmp_path):
    """Compiling is for processes that do nothing until the file is there that this returns, and then end."""
    path = tmp_path / "go"

    def started():
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", WAITS.format(path=str(path))], **pipes)

    monkeypatch.setattr(pool, "_started", started)
    monkeypatch.setattr(pool, "FEWEST", 2)
    monkeypatch.setattr(build, "thread_count", lambda: 2)
    return path


@needs_fork
def test_a_fork_does_not_wait_for_processes_that_compile(monkeypatch, processes):
    shown = threading.Event()
    monkeypatch.setattr(build.WorkProgress, "show", lambda progress: shown.set())
    builder = threading.Thread(target=build.compile_all, args=([times(2), times(3)],))
    builder.start()
    assert shown.wait(20)

    def child():
        monkeypatch.setattr(pool, "FEWEST", 99)
        compiles()

    assert forked(child) == 0
    assert builder.is_alive()
    processes.touch()
    builder.join()
    assert len(build.failures([times(2), times(3)])) == 2


@needs_fork
def test_a_signal_handler_that_forks_in_the_middle(monkeypatch, processes):
    """The threads that wait for the processes are not in the child, which compiles what is left."""
    children = []

    def show(progress):
        if not children:
            children.append(fork())
            if children[0]:
                processes.touch()

    monkeypatch.setattr(build.WorkProgress, "show", show)
    build.compile_all([times(2), times(3)])
    if children == [0]:
        in_child(lambda: [run(times(factor)) for factor in (2, 3)])
    assert status_of(children[0]) == 0
    assert len(build.failures([times(2), times(3)])) == 2
