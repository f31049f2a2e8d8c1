"""Forks in the middle of a test, whose children say by their exit status whether all went well."""

from __future__ import annotations

import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable

import pytest

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


def fork() -> int:
    """``os.fork()``; an alarm ends a child that waits for ever."""
    with warnings.catch_warnings():
        # Python 3.12 warns of a fork while there are threads; these tests are about just that.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(30)
    return pid


def forked(child: Callable[[], object]) -> int:
    """Runs ``child`` in a fork; its exit status."""
    pid = fork()
    if pid == 0:
        in_child(child)
    return status_of(pid)


def in_child(child: Callable[[], object]) -> None:
    """Run and exit, with status 0 if it succeeds."""
    status = 1
    try:
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def status_of(pid: int) -> int:
    """The exit status of a child."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def until(condition: Callable[[], object]) -> None:
    """Wait for a condition; the limit only keeps a broken test from hanging."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.001)
