"""Small functions to compile, and what they compute."""

from __future__ import annotations

import numpy as np

from convir.runtime.native import build
from convir.runtime.native.compiler import Job

BROKEN = Job("broken", "def broken(addresses):\n    addresses.nonsense()\n")


def times(factor: int) -> Job:
    """Multiplies four numbers in place."""
    source = (
        "def times(addresses):\n"
        "    x = float32s(addresses[0], 4)\n"
        "    for i in range(4):\n"
        f"        x[i] = x[i] * real({factor}.0)\n"
    )
    return Job("times", build.module_text(source, "float32"))


def run(job: Job) -> list[float]:
    """1, 2, 3 and 4, after ``job``."""
    numbers = np.array([1, 2, 3, 4], np.float32)
    addresses = np.array([numbers.ctypes.data], np.intp)
    build.entry(build.code_of(job))(addresses.ctypes.data)
    return numbers.tolist()
