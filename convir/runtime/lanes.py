"""What a kernel set needs to run many tiles in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from convir.runtime.kernel_set import BoundStep
from convir.runtime.kernels import Array


@dataclass(frozen=True, eq=False)
class Copy:
    """A tile's part of one of the caller's arrays, and where it lives while the tile runs.

    Attributes:
        array: where it lives.
        slot: which of the caller's arrays.
        stride: bytes from one tile's part of that to the next.
        lasting: whether anything but the row's own steps looks there later.
    """

    array: Array
    slot: int
    stride: int
    lasting: bool = True


@dataclass(frozen=True)
class Row:
    """Tiles that one executable runs one after the other.

    Attributes:
        steps: what runs for each tile.
        incoming: copied from the caller's arrays before, or read there.
        outgoing: copied to the caller's arrays after, or written there; these are contiguous.
        first: number of the first tile.
        count: how many tiles.
    """

    steps: Sequence[BoundStep]
    incoming: tuple[Copy, ...]
    outgoing: tuple[Copy, ...]
    first: int
    count: int


class LaneSet(Protocol):
    """All tiles, in lanes that run side by side."""

    def run(self, arrays: Sequence[Array]) -> None:
        """Run every tile once, between these arrays of the caller."""
