"""What a run was made on."""

from __future__ import annotations

import datetime
import platform
from pathlib import Path
from typing import Any

from harness.threads import usable_cpus

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


def describe() -> dict[str, Any]:
    """CPU model, CPUs, caches where the system tells, Python, BLAS, and the date."""
    return {
        "cpu": _cpu_model(),
        "usable_cpus": usable_cpus(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "blas": _blas(),
        "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _caches() -> dict[str, str]:
    """``{"L1 data": "32K", ...}`` of the first CPU."""
    found = {}
    for folder in sorted(_CACHES.glob("index*")):
        level, kind, size = ((folder / name).read_text(encoding="ascii").strip() for name in ("level", "type", "size"))
        found[f"L{level}" if kind == "Unified" else f"L{level} {kind.lower()}"] = size
    return found


def _blas() -> str:
    """Name and version of the BLAS that NumPy was built with."""
    import numpy as np

    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index,call-overload,unused-ignore]
    return f"{blas['name']} {blas['version']}"
