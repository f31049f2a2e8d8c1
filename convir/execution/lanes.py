"""Threads side by side, each of which takes the next tile that is left."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from convir.compiler import Program
from convir.execution.interface import Interface
from convir.execution.memory import TileMemory, Turn
from convir.execution.protocol import limited
from convir.execution.transfer import Partial
from convir.runtime import Copy, Executable, LaneSet, Row, parallel
from convir.tiling import Division

Array = NDArray[Any]


class Lanes(Protocol):
    """What runs one half of all tiles."""

    def run(self, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """Run every tile once, between these arrays of the whole batch; what is known in part is left to the memory."""


def lanes_for(half: int, division: Division, memory: TileMemory, interface: Interface) -> Lanes:
    """All tiles in one call of compiled code where that is possible; otherwise Python takes tile after tile."""
    if not memory.needs_steps(interface):
        chained = _chained(half, division, memory, interface)
        if chained is not None:
            return ChainedLanes(half, chained, division, memory, interface)
    return SteppedLanes(half, division, memory, interface)


class SteppedLanes:
    """Python copies each tile's part in and out; see :class:`Lanes`."""

    def __init__(self, half: int, division: Division, memory: TileMemory, interface: Interface) -> None:
        self._half, self._division, self._memory = half, division, memory
        self._incoming = interface.incoming
        every = enumerate(interface.outgoing)
        self._finished = [(place, transfer) for place, transfer in every if not isinstance(transfer, Partial)]

    def run(self, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """Every lane takes the next tile that is left."""
        left = iter(range(len(self._division.tiles)))

        def lane(number: int) -> None:
            with limited(self._memory.every[0], self._division.lane_threads):
                for index in left:
                    self._run_tile(number, index, incoming, outgoing)

        parallel(lane, self._division.lanes)

    def _run_tile(self, lane: int, index: int, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        tiles = self._division.tiles
        size = tiles[index].size
        executable = self._memory.executable(index, lane)
        for into, whole in zip(self._incoming, incoming, strict=True):
            np.copyto(into.array(executable, size), into.part(whole, tiles, index))
        executable.run(self._half)
        for place, out in self._finished:
            out.put(outgoing[place], out.array(executable, size), tiles, index)
        self._memory.keep(index, lane)


class ChainedLanes:
    """One call for all tiles and lanes; what is not one run of memory for each tile is loaded before.

    See :class:`Lanes`.
    """

    def __init__(self, half: int, lanes: LaneSet, division: Division, memory: TileMemory, interface: Interface) -> None:
        self._half, self._lanes, self._memory, self._tiles = half, lanes, memory, division.tiles
        every = enumerate((*interface.incoming, *interface.outgoing))
        self._runs = [place for place, transfer in every if transfer.is_run]
        self._loaded = [(place, each) for place, each in enumerate(interface.incoming) if not each.is_run]
        self._guarded = [executable for executable in memory.every if executable.is_guarded(half)]

    def run(self, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """Load, run all tiles, and look for errors."""
        for place, into in self._loaded:
            for index, tile in enumerate(self._tiles):
                array = into.array(self._memory.executable(index, 0), tile.size)
                np.copyto(array, into.part(incoming[place], self._tiles, index))
        arrays = (*incoming, *outgoing)
        self._lanes.run([arrays[place] for place in self._runs])
        for executable in self._guarded:
            executable.check(self._half)


def _chained(half: int, division: Division, memory: TileMemory, interface: Interface) -> LaneSet | None:
    """What the kernel set has for running all tiles in one call."""
    incoming = [each for each in interface.incoming if each.is_run]
    outgoing = [each for each in interface.outgoing if each.is_run]

    def row(turn: Turn) -> Row:
        size = division.tiles[turn.first].size
        saved = _saved(half, division.programs[size], turn.executable)
        copies = [
            _copy(transfer.array(turn.executable, size), slot, size, division, saved)
            for slot, transfer in enumerate((*incoming, *outgoing))
        ]
        into, out = tuple(copies[: len(incoming)]), tuple(copies[len(incoming) :])
        return Row(turn.executable.halves[half], into, out, turn.first, turn.count)

    rows = [[row(turn) for turn in memory.turns(lane)] for lane in range(division.lanes)]
    return division.program.kernels.lanes(rows)


def _saved(half: int, program: Program, executable: Executable) -> set[int]:
    """Where the forward leaves what the backward reads."""
    if half == 1 or program.backward is None:
        return set()
    return {executable.arrays[value.name].ctypes.data for value in program.backward.inputs}


def _copy(array: Array, slot: int, size: int, division: Division, saved: Set[int]) -> Copy:
    """A tile of ``size`` samples; from tile to tile there are as many bytes as the first has."""
    stride = array.nbytes // size * division.tiles.size
    return Copy(array, slot, stride, lasting=array.ctypes.data in saved)
