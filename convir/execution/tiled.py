"""A batch in tiles: cut, run side by side, and put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.execution.interface import Interface, backward_interface, forward_interface
from convir.execution.lanes import lanes_for
from convir.execution.memory import MemoryPerLane, MemoryPerTile, TileMemory
from convir.execution.protocol import read_only
from convir.execution.results import Results
from convir.execution.transfer import Partial
from convir.passes.batch import BatchRoles
from convir.profiling import Part
from convir.tiling import Division

Array = NDArray[Any]


class TiledBatch:
    """The tiles of a division.

    Args:
        division: the programs.
        roles: what the model's values are.
        parameters: the live array of each parameter.
    """

    def __init__(self, division: Division, roles: BatchRoles, parameters: Mapping[str, Array]) -> None:
        forward = forward_interface(division, roles)
        memory: TileMemory
        if division.program.backward is None:
            memory = MemoryPerLane(division, parameters, forward.outgoing)
            interfaces = [forward]
        else:
            memory = MemoryPerTile(division, parameters)
            interfaces = [forward, backward_interface(division, roles)]
        self.executable = memory.every[0]
        self.part = Part(division.tiles[0].size, division.tiles.batch)
        self.halves = [TiledHalf(number, division, memory, each) for number, each in enumerate(interfaces)]

    def load(self, inputs: Sequence[Array]) -> None:
        """Copy the first tile's part of the inputs to where it lives."""
        self.halves[0].load(inputs)


class TiledHalf:
    """The forward (0) or backward (1) of all tiles; see :class:`convir.execution.Half`."""

    def __init__(self, number: int, division: Division, memory: TileMemory, interface: Interface) -> None:
        self._tiles, self._memory, self._interface = division.tiles, memory, interface
        self._lanes = lanes_for(number, division, memory, interface)
        self._results = Results(interface.values)
        every = enumerate(interface.outgoing)
        self._partial = [(place, transfer) for place, transfer in every if isinstance(transfer, Partial)]

    @cached_property
    def views(self) -> tuple[Array, ...]:
        """What :attr:`_kept` holds, read-only."""
        return tuple(map(read_only, self._kept))

    def load(self, incoming: Sequence[Array]) -> None:
        """Copy the first tile's part to where it lives."""
        first, size = self._memory.every[0], self._tiles[0].size
        for into, whole in zip(self._interface.incoming, incoming, strict=True):
            np.copyto(into.array(first, size), into.part(whole, self._tiles, 0))

    def run(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """Compute what :attr:`views` show, and return them."""
        # A result may be the next operand: one tile would overwrite what the next one reads.
        apart = [
            array.copy() if any(np.may_share_memory(array, kept) for kept in self._kept) else array
            for array in incoming
        ]
        self._run(apart, self._kept)
        return self.views

    def run_into_new(self, incoming: Sequence[Array]) -> tuple[Array, ...]:
        """The same in new arrays."""
        outgoing = self._results.new()
        self._run(incoming, outgoing)
        return outgoing

    @cached_property
    def _kept(self) -> tuple[Array, ...]:
        """Where the whole batch's is put together; made when it is first asked for."""
        return self._results.new()

    def _run(self, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        self._lanes.run(incoming, outgoing)
        for place, transfer in self._partial:
            transfer.add_up(outgoing[place], self._memory.parts(transfer), self._tiles)
