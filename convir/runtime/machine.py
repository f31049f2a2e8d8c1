"""What a figure was measured on."""

from __future__ import annotations

import platform
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from convir.runtime.cpus import machine_cpus

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")


@dataclass(frozen=True)
class Machine:
    """A machine and its software, as far as times depend on them.

    Attributes:
        cpu: model of the processor.
        cpus: how many of them the machine has.
        caches: (name, size) of the first CPU's, ``("L2", "512K")``; empty where the system does not tell.
        system: name and release of the operating system.
        python: version.
        numpy: version.
        blas: name and version of what NumPy multiplies matrices with.
    """

    cpu: str
    cpus: int
    caches: tuple[tuple[str, str], ...]
    system: str
    python: str
    numpy: str
    blas: str

    def to_json(self) -> dict[str, Any]:
        """All attributes; ``caches`` by name."""
        return asdict(self) | {"caches": dict(self.caches)}

    def __str__(self) -> str:
        caches = ", ".join(f"{name} {size}" for name, size in self.caches)
        software = f"{self.system}, Python {self.python}, NumPy {self.numpy} with {self.blas}"
        return f"{self.cpu}, {self.cpus} CPUs{caches and f' ({caches})'}; {software}"


@cache
def this_machine() -> Machine:
    """The machine that this process runs on."""
    return Machine(
        cpu=_cpu_model(),
        cpus=machine_cpus(),
        caches=tuple(_caches()),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        numpy=np.__version__,
        blas=_blas(),
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _caches() -> list[tuple[str, str]]:
    """``("L1 data", "32K"), ...`` of the first CPU."""
    found = []
    for folder in sorted(_CACHES.glob("index*")):
        with suppress(OSError):  # Some systems have the folder and not the files.
            level, kind, size = ((folder / name).read_text("ascii").strip() for name in ("level", "type", "size"))
            found.append((f"L{level}" if kind == "Unified" else f"L{level} {kind.lower()}", size))
    return found


def _blas() -> str:
    """Name and version of the BLAS that NumPy was built with."""
    try:
        blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # type: ignore[index,call-overload,unused-ignore]
    except (KeyError, TypeError):
        return "an unknown BLAS"
    return f"{blas['name']} {blas['version']}"
