"""How a program's functions became machine code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from convir.common.table import format_seconds


@dataclass(frozen=True)
class BuildReport:
    """Functions that a program runs, each counted once however many nodes share it.

    Attributes:
        compiled: compiled now.
        loaded: read from the cache on disk.
        ready: in this process already.
        failed: could not be compiled; their nodes run on NumPy.
        seconds: how long all of it took.
        processes: how many processes compiled; 0 where this one did.
        folder: the cache.
    """

    compiled: int
    loaded: int
    ready: int
    failed: int
    seconds: float
    processes: int
    folder: str

    @property
    def functions(self) -> int:
        """How many there are."""
        return self.compiled + self.loaded + self.ready + self.failed

    def to_json(self) -> dict[str, Any]:
        """All attributes."""
        return dict(vars(self))

    def __str__(self) -> str:
        counts = {
            f"compiled{f' by {self.processes} processes' if self.processes > 1 else ''}": self.compiled,
            f"loaded from {self.folder}": self.loaded,
            "in this process already": self.ready,
            "that could not be compiled, which NumPy runs": self.failed,
        }
        parts = [f"{count} {what}" for what, count in counts.items() if count] or ["none"]
        return f"Compiled functions: {', '.join(parts)}; {format_seconds(self.seconds)}."
