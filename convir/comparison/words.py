"""What comparisons and sweeps say in the same words, on terminals and pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Ran(Protocol):
    """How something was run."""

    @property
    def backward(self) -> bool:
        """Whether a run is forward and backward."""

    @property
    def inference(self) -> bool:
        """Whether the parameters are folded."""

    @property
    def backend(self) -> str:
        """What ran the steps."""

    @property
    def threads(self) -> int:
        """How many BLAS used."""


def phase(ran: Ran) -> str:
    """What a run is."""
    if ran.inference:
        return "forward, parameters folded"
    return "forward and backward" if ran.backward else "forward"


def engine(ran: Ran) -> str:
    """What ran the steps, and how."""
    threads = "1 thread" if ran.threads == 1 else f"{ran.threads} threads for BLAS"
    return f"{ran.backend}, {threads}, the batch in one piece"


def listed(names: Sequence[str]) -> str:
    """``a, b and c``"""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def tick(text: str) -> str:
    """``10 ms`` for ``10.0 ms``: ticks are round numbers."""
    number, _, unit = text.partition(" ")
    try:
        return f"{float(number):g} {unit}".rstrip()
    except ValueError:
        return text
