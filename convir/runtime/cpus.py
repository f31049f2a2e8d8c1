"""How many threads a process should use: what the caller, the environment or the system says."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from numbers import Integral
from pathlib import Path

from convir.ir import ConvirError

VARIABLE = "CONVIR_NUM_THREADS"
CGROUP = Path("/proc/self/cgroup")
CGROUP_MOUNT = Path("/sys/fs/cgroup")


def thread_count(threads: int | None = None) -> int:
    """How many threads to use: ``threads``, else CONVIR_NUM_THREADS, else the CPUs that this process may use.

    Those are the CPUs it may run on, or as many as the CPU quota of its control group (cgroup v2) comes to, rounded up,
    where that is less. An empty CONVIR_NUM_THREADS counts as unset.

    Raises:
        ConvirError: ``threads`` or CONVIR_NUM_THREADS is not a positive integer.
    """
    if threads is not None:
        if isinstance(threads, bool) or not isinstance(threads, Integral) or threads < 1:
            raise ConvirError(f"threads is a positive integer, or None for all CPUs of this process; not {threads!r}")
        return int(threads)
    setting = os.environ.get(VARIABLE, "").strip()
    if not setting:
        return _usable_cpus()
    if not re.fullmatch("0*[1-9][0-9]{0,5}", setting):
        raise ConvirError(
            f"the environment variable {VARIABLE} is a positive integer, not {setting!r}; correct or unset it"
        )
    return int(setting)


def machine_cpus() -> int:
    """How many CPUs the machine has, this process's or not: more threads than that never run side by side.

    As wide as a number of threads that somebody gives is taken at its word: as in PyTorch and ONNX Runtime it may be
    more than the CPUs that :func:`thread_count` would choose, but it starts no thousand threads.
    """
    return os.cpu_count() or 1


def _usable_cpus() -> int:
    # Only Linux and some other systems say which CPUs a process may run on.
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else machine_cpus()
    return min([cpus, *_quotas()])


def _quotas() -> Iterator[int]:
    """CPUs by the quota of this process's control group and of each group around it.

    ``cpu.max`` holds microseconds of CPU and of the period, or ``max``: Linux, Documentation/admin-guide/cgroup-v2.rst.
    """
    for folder in _control_groups():
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            if quota != "max":
                yield max(1, math.ceil(int(quota) / int(period)))


def _control_groups() -> Iterator[Path]:
    with suppress(OSError):
        for line in CGROUP.read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                # In a container it may be the host's path, of which only the root is mounted.
                group = CGROUP_MOUNT / line.removeprefix("0::/")
                yield from [group, *(folder for folder in group.parents if folder.is_relative_to(CGROUP_MOUNT))]
