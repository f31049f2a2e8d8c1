"""Resident memory of this process, in bytes, at this moment and at its highest."""

from __future__ import annotations

import os
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def resident_bytes() -> int | None:
    """What is in memory now, pages of shared libraries included; None where the system does not tell."""
    if not _STATUS.exists():
        return None
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_bytes() -> int | None:
    """The most that has been in memory since this program began; None where the system does not tell.

    On Linux this is VmHWM and not ru_maxrss, which counts what the parent was when it started us.
    """
    if _STATUS.exists():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    try:
        import resource
    except ModuleNotFoundError:
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
