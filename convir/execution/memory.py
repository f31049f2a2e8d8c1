"""Who owns the memory of a tile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convir.execution.interface import Interface
from convir.execution.transfer import Partial
from convir.runtime import Arena, Executable
from convir.tiling import Division

Array = NDArray[Any]


@dataclass(frozen=True)
class Turn:
    """Neighbouring tiles that one executable runs one after the other: the first, and how many."""

    executable: Executable
    first: int
    count: int


class TileMemory(Protocol):
    """The executables of a division's tiles."""

    @property
    def every(self) -> Sequence[Executable]:
        """All there are; first that of the first tile."""

    def executable(self, index: int, lane: int) -> Executable:
        """The one in which tile ``index`` runs if it runs in this lane."""

    def turns(self, lane: int) -> Iterator[Turn]:
        """All tiles as this lane would run them."""

    def needs_steps(self, interface: Interface) -> bool:
        """Whether between two tiles more has to be done than to copy runs of memory in and out."""

    def keep(self, index: int, lane: int) -> None:
        """Have what tile ``index`` knows in part, which has run in this lane, last until all tiles have run."""

    def parts(self, transfer: Partial) -> Sequence[Array]:
        """What every tile knows of it, in their order."""


class MemoryPerTile:
    """Every tile has an executable of its own, and keeps there from the forward what the backward needs.

    Args:
        division: the programs.
        parameters: the live array of each parameter.
    """

    def __init__(self, division: Division, parameters: Mapping[str, Array]) -> None:
        self._tiles = division.tiles
        self.every = [_executables(division, parameters, [tile.size])[tile.size] for tile in division.tiles]

    def executable(self, index: int, lane: int) -> Executable:
        """The tile's, in whichever lane."""
        return self.every[index]

    def turns(self, lane: int) -> Iterator[Turn]:
        """One by one."""
        return (Turn(executable, index, 1) for index, executable in enumerate(self.every))

    def needs_steps(self, interface: Interface) -> bool:
        """All tiles can be loaded before the first runs, and sums read after the last."""
        return not all(each.is_run or isinstance(each, Partial) for each in interface.outgoing)

    def keep(self, index: int, lane: int) -> None:
        """It lasts where it is."""

    def parts(self, transfer: Partial) -> Sequence[Array]:
        """In the tiles' memory."""
        return [transfer.array(each, tile.size) for each, tile in zip(self.every, self._tiles, strict=True)]


class MemoryPerLane:
    """Every lane has one arena and runs tile after tile in it, which is enough without a backward.

    In the arena lies an executable for each size of tile.

    Args:
        division: the programs.
        parameters: the live array of each parameter.
        outgoing: what comes out of the forward.
    """

    def __init__(self, division: Division, parameters: Mapping[str, Array], outgoing: Sequence[object]) -> None:
        self._tiles = division.tiles
        self._owned = [_executables(division, parameters, division.tiles.sizes) for _ in range(division.lanes)]
        self.every = [executable for owned in self._owned for executable in owned.values()]
        size = division.tiles[0].size
        arrays = {each: each.array(self.every[0], size) for each in outgoing if isinstance(each, Partial)}
        self._kept = {each: np.empty((len(self._tiles), *a.shape), a.dtype) for each, a in arrays.items()}

    def executable(self, index: int, lane: int) -> Executable:
        """The lane's for tiles of this size."""
        return self._owned[lane][self._tiles[index].size]

    def turns(self, lane: int) -> Iterator[Turn]:
        """Those of the same size in one turn."""
        count, rest = divmod(self._tiles.batch, self._tiles.size)
        yield Turn(self.executable(0, lane), 0, count)
        if rest:
            yield Turn(self.executable(count, lane), count, 1)

    def needs_steps(self, interface: Interface) -> bool:
        """The next tile takes the place of what is not copied in and out."""
        return not all(each.is_run for each in (*interface.incoming, *interface.outgoing))

    def keep(self, index: int, lane: int) -> None:
        """Copy it: the next tile overwrites it."""
        for transfer, kept in self._kept.items():
            np.copyto(kept[index, ...], transfer.array(self.executable(index, lane), self._tiles[index].size))

    def parts(self, transfer: Partial) -> Sequence[Array]:
        """The copies."""
        return list(self._kept[transfer])


def _executables(division: Division, parameters: Mapping[str, Array], sizes: Sequence[int]) -> dict[int, Executable]:
    """One for each size of tile, in one arena that is large enough for all."""
    arena = Arena(division.memory.arena_bytes)
    programs = {size: division.programs[size] for size in sizes}
    return {size: Executable(program.memory, parameters, program.kernels, arena) for size, program in programs.items()}
