"""What a run was made on."""

from __future__ import annotations

import datetime
from typing import Any

from convir.runtime.machine import this_machine
from harness.threads import usable_cpus


def describe() -> dict[str, Any]:
    """CPU model, CPUs, caches where the system tells, Python, NumPy, BLAS, and the date."""
    date = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {**this_machine().to_json(), "usable_cpus": usable_cpus(), "date": date}
