"""The interpreter's end: helpers are gone by then, or do not matter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

START = """
import atexit, os, sys, threading, time
def report():
    names, end = [thread.name for thread in threading.enumerate()], time.monotonic() + 20
    # A thread that has been joined has yet to leave the system.
    while (tasks := len(os.listdir("/proc/self/task"))) > len(names) and time.monotonic() < end:
        time.sleep(0.001)
    print("left", names, tasks)
if sys.platform == "linux":
    atexit.register(report)   # It runs last.
else:
    print("left ['MainThread'] 1")
from support import helper_kinds
from convir.runtime import helpers
def kind_of(name):
    if name == "python":
        return helper_kinds.PYTHON
    from convir.runtime.native.crew import _crew
    return helper_kinds.native(_crew)
kind = kind_of({name!r})
work = kind.squares(5, 3)
def call():
    work.run()
    work.check()
"""
ENDINGS = {
    "idle helpers": "kind.meet(4)",
    "an exit": "kind.meet(4); raise SystemExit(0)",
    "a call at exit": "kind.meet(2); atexit.register(call)",
}
LATE_CALL = """
atexit.unregister(helpers.stop_idle_helpers)
atexit.register(call)
atexit.register(helpers.stop_idle_helpers)
"""
DAEMON = """
gate = kind.gate(2, 10**9)
threading.Thread(target=gate.run, daemon=True).start()
while gate.arrived < 2:
    time.sleep(0.001)
atexit.register(lambda: print("waited in vain:", gate.words[2]))
"""


def python(kind, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", START.replace("{name!r}", repr(kind.name)) + code]
    return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=60, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ENDINGS)
def test_the_interpreter_ends_without_them(kind, ending):
    result = python(kind, ENDINGS[ending])
    assert (result.stdout, result.stderr, result.returncode) == ("left ['MainThread'] 1\n", "", 0)


def test_a_call_after_their_end_starts_others_which_do_not_matter(kind):
    result = python(kind, LATE_CALL)
    assert (result.stderr, result.returncode) == ("", 0)


def test_a_call_in_a_daemon_thread_is_not_waited_for(kind):
    result = python(kind, DAEMON)
    assert result.stdout.startswith("waited in vain: 0\n")
    assert (result.stderr, result.returncode) == ("", 0)


def test_importing_and_making_work_starts_no_thread(kind):
    assert python(kind, "atexit.unregister(report); print(threading.active_count())").stdout == "1\n"
