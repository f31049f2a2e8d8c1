"""How a loop nest is run: what is vectorised, blocked, unrolled and innermost. Data, beside the nest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """How one nest is run.

    Attributes:
        order: the nest's axes from the outermost loop to the innermost.
        vector: the axis whose neighbours share a vector: one of the nest's axes, or one that is
            reduced; empty where points are computed one by one.
        width: lanes of a vector.
        block: axis -> how many points are computed together, in registers (of the vector axis: how
            many vectors); axes that are not named go one by one.
        unroll: reduced axes that are written out instead of looped over.
    """

    order: tuple[str, ...]
    vector: str = ""
    width: int = 1
    block: tuple[tuple[str, int], ...] = ()
    unroll: tuple[str, ...] = ()

    @property
    def blocks(self) -> Mapping[str, int]:
        """``block`` as a mapping."""
        return dict(self.block)

    def __str__(self) -> str:
        vector = f"{self.vector} by {self.width}" if self.vector else "none"
        block = ", ".join(f"{axis} x {count}" for axis, count in self.block) or "none"
        order, unroll = (" ".join(axes) or "none" for axes in (self.order, self.unroll))
        return f"loops {order}; vector {vector}; block {block}; unrolled {unroll}"


@dataclass(frozen=True)
class Processor:
    """What a schedule depends on of the machine.

    Attributes:
        vector_bytes: bytes of a vector register.
        vector_registers: how many there are.
        l1_bytes: size of the first-level data cache.
        l2_bytes: size of the second-level cache of one core.
        l3_bytes: one core's share of the third-level cache.
    """

    vector_bytes: int = 32
    vector_registers: int = 16
    l1_bytes: int = 32 * 1024
    l2_bytes: int = 512 * 1024
    l3_bytes: int = 4 * 1024 * 1024
