"""A lock between processes, and between the threads of one, that no process can leave behind."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Seconds between two looks whether a lock is free.
_PATIENCE = 0.05

#: Paths of the locks that a thread holds.
_held = threading.local()

#: The files that this process has opened for them.
_handles: set[int] = set()


@contextmanager
def locked(path: Path, timeout: float) -> Iterator[bool]:
    """Hold the lock that the file ``path`` stands for, and say whether it could be had.

    It is the system's lock on an open file: it ends with its process, however that ends, so there are no stale ones,
    and the file may lie there. A forked child has none of its parent's. A thread that holds it has it again at once.
    Where it is not free in time, or the file system has no locks, the caller goes on without.

    Args:
        path: of a file that is made, with its folder, where there is none.
        timeout: seconds to wait at most.
    """
    mine: set[Path] = _held.__dict__.setdefault("paths", set())
    if path in mine:
        yield True
        return
    handle = _opened(path)
    try:
        has_it = handle is not None and _taken(handle, timeout)
        if has_it:
            mine.add(path)
        yield has_it
    finally:
        mine.discard(path)
        _close(handle)


def _opened(path: Path) -> int | None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        _handles.add(handle)
        return handle
    return None


def _close(handle: int | None) -> None:
    """Let go of the file, if it is still this process's: a forked child has closed it already."""
    if handle is not None and handle in _handles:
        _handles.discard(handle)
        os.close(handle)


def _after_fork() -> None:
    """The child's duplicates would keep the lock for as long as it lives."""
    _held.__dict__.clear()
    while _handles:
        os.close(_handles.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _taken(handle: int, timeout: float) -> bool:
    """Whether the lock was free, or became so in time."""
    end = time.monotonic() + timeout
    try:
        while not _is_free(handle):
            if time.monotonic() >= end:
                return False
            time.sleep(_PATIENCE)
    except OSError:  # a file system without locks
        return False
    return True


if sys.platform == "win32":
    import msvcrt

    def _is_free(handle: int) -> bool:
        """Take the lock where nobody has it."""
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def _is_free(handle: int) -> bool:
        """Take the lock where nobody has it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
