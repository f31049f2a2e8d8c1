"""Running the tiles of a batch, side by side in lanes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.assembly import Transfer
from convir.compiler import Program
from convir.ir import Value
from convir.passes.batch import PartialSum, PerSample, Role, Whole
from convir.runtime import Arena, Copy, Executable, LaneSet, Row, blas_threads, parallel
from convir.tiling import Division

Array = NDArray[Any]

Transfers = tuple[Transfer, ...]

_NOTHING = nullcontext()


class TileRunner:
    """The executables of a division.

    A tile keeps its memory from the forward to the backward, so where there is a backward every tile
    has an executable of its own; otherwise every lane has one and runs tile after tile in it.

    Args:
        division: the programs.
        parameters: the live array of each parameter.
    """

    def __init__(self, division: Division, parameters: Mapping[str, Array]) -> None:
        self.division, self._parameters = division, parameters
        # One tile is the whole batch, whose arrays need no assembling.
        self.is_whole = division.roles is None
        self._has_backward = division.program.backward is not None
        self._owned = [self._executables(owner) for owner in range(division.owners)]
        self.executable = self._owned[0][division.tiles[0].size]
        self.incoming = (self._inputs(), self._cotangents())
        self.outgoing = (self._results(), self._gradients())
        self._parts = [np.empty((len(division.tiles), *v.type.shape), v.type.dtype) for v in self._staged()]
        halves = range(len(division.program.graphs))
        self._partial = [
            [i for i, transfer in enumerate(self.outgoing[half]) if transfer.is_partial] for half in halves
        ]
        self._slots = [_slots(self.incoming[half], self.outgoing[half]) for half in halves]
        every = [executable for owned in self._owned for executable in owned.values()]
        self._guarded = [[executable for executable in every if executable.is_guarded(half)] for half in halves]
        self._lanes = [self._lane_set(half) for half in halves]

    def run(self, half: int, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """Run the forward (0) or backward (1) of every tile.

        Args:
            half: which.
            incoming: inputs or cotangents of the whole batch.
            outgoing: where results or gradients of the whole batch go; empty where one tile is all of it.
        """
        if self.is_whole:
            for transfer, array in zip(self.incoming[half], incoming, strict=True):
                self._load(0, self.executable, transfer, array)
            with self.limited():
                self.executable.run(half)
            return
        lanes = self._lanes[half]
        if lanes is None:
            self._run_lanes(half, incoming, outgoing)
        else:
            self._run_native(lanes, half, incoming, outgoing)
        for place in self._partial[half]:
            transfer = self.outgoing[half][place]
            transfer.add_up(outgoing[place], self._parts_of(transfer, place), self.division.tiles)

    def load(self, arrays: Sequence[Array]) -> None:
        """Copy the first tile's part of the inputs to where it lives."""
        for transfer, array in zip(self.incoming[0], arrays, strict=True):
            self._load(0, self.executable, transfer, array)

    def limited(self) -> AbstractContextManager[None]:
        """A context in which BLAS leaves the other lanes their threads."""
        if not self.executable.by_numpy:
            return _NOTHING
        return blas_threads(self.division.threads if self.division.lanes == 1 else 1)

    def _run_lanes(self, half: int, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """Every lane takes the next tile that is left."""
        left = iter(range(len(self.division.tiles)))

        def lane(number: int) -> None:
            with self.limited():
                for index in left:
                    self._run_tile(number, index, half, incoming, outgoing)

        parallel(lane, self.division.lanes)

    def _run_tile(self, lane: int, index: int, half: int, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        tiles = self.division.tiles
        size = tiles[index].size
        executable = self._of_tile(index, lane)
        for transfer, array in zip(self.incoming[half], incoming, strict=True):
            self._load(index, executable, transfer, array)
        executable.run(half)
        for place, (transfer, whole) in enumerate(zip(self.outgoing[half], outgoing, strict=True)):
            part = executable.arrays[transfer.names[size]]
            transfer.put(whole, part, tiles, index)
            if transfer.is_partial and not self._has_backward:
                np.copyto(self._parts[place][index, ...], part)

    def _run_native(self, lanes: LaneSet, half: int, incoming: Sequence[Array], outgoing: Sequence[Array]) -> None:
        """One call for all tiles and lanes; what is not one run of memory for each tile is loaded before."""
        sliced, others = self._slots[half]
        for place in others:
            for index in range(len(self.division.tiles)):
                self._load(index, self._of_tile(index, 0), self.incoming[half][place], incoming[place])
        arrays = (*incoming, *outgoing)
        lanes.run([arrays[place] for place in sliced])
        for executable in self._guarded[half]:
            executable.check(half)

    def _lane_set(self, half: int) -> LaneSet | None:
        """What runs all tiles in one call, where the kernel set has such and nothing has to be done between tiles."""
        every = (*self.incoming[half], *self.outgoing[half])
        if self.is_whole or not (self._has_backward or all(transfer.is_sliced for transfer in every)):
            return None
        if not all(transfer.is_sliced or transfer.is_partial for transfer in self.outgoing[half]):
            return None
        owners = range(self.division.lanes)
        return self.division.program.kernels.lanes([list(self._rows(half, owner)) for owner in owners])

    def _rows(self, half: int, lane: int) -> Iterator[Row]:
        """The tiles as a lane runs them: neighbours of one executable in one row."""
        tiles = self.division.tiles
        if self._has_backward:
            yield from (self._row(half, self._of_tile(index, lane), index, 1) for index in range(len(tiles)))
            return
        whole, rest = divmod(tiles.batch, tiles.size)
        yield self._row(half, self._of_tile(0, lane), 0, whole)
        if rest:
            yield self._row(half, self._of_tile(whole, lane), whole, 1)

    def _row(self, half: int, executable: Executable, first: int, count: int) -> Row:
        tiles = self.division.tiles
        sliced = [t for t in (*self.incoming[half], *self.outgoing[half]) if t.is_sliced]
        copies = [self._copy(executable, transfer, slot, tiles[first].size) for slot, transfer in enumerate(sliced)]
        count_in = sum(transfer.is_sliced for transfer in self.incoming[half])
        return Row(executable.halves[half], tuple(copies[:count_in]), tuple(copies[count_in:]), first, count)

    def _copy(self, executable: Executable, transfer: Transfer, slot: int, size: int) -> Copy:
        array = executable.arrays[transfer.names[size]]
        return Copy(array, slot, array.nbytes // size * self.division.tiles.size)

    def _load(self, index: int, executable: Executable, transfer: Transfer, array: Array) -> None:
        tiles = self.division.tiles
        part = array if self.is_whole else transfer.part(array, tiles, index)
        np.copyto(executable.arrays[transfer.names[tiles[index].size]], part)

    def _of_tile(self, index: int, lane: int) -> Executable:
        """The executable in which tile ``index`` runs if it runs in this lane."""
        return self._owned[index if self._has_backward else lane][self.division.tiles[index].size]

    def _executables(self, owner: int) -> dict[int, Executable]:
        """Those of one tile or lane: one for each size of tile that it runs, in one arena."""
        division = self.division
        sizes = (division.tiles[owner].size,) if self._has_backward else division.tiles.sizes
        arena = Arena(division.memory.arena_bytes)
        return {size: self._executable(division.programs[size], arena) for size in sizes}

    def _executable(self, program: Program, arena: Arena) -> Executable:
        return Executable(program.memory, self._parameters, program.kernels, arena)

    def _parts_of(self, transfer: Transfer, place: int) -> Sequence[Array]:
        """Every tile's part of a sum or mean: still in the tiles' arenas, or set aside when they had run."""
        if not self._has_backward:
            return list(self._parts[place])
        tiles = self.division.tiles
        return [self._of_tile(i, 0).arrays[transfer.names[tile.size]] for i, tile in enumerate(tiles)]

    def _staged(self) -> Sequence[Value]:
        """Outputs whose parts have to be set aside, because the next tile overwrites them."""
        if self._has_backward or not any(transfer.is_partial for transfer in self.outgoing[0]):
            return ()
        return self.division.model.outputs

    def _role(self, value: Value) -> Role:
        """What a value of the model is; all of it, where there are no tiles."""
        roles = self.division.roles
        return Whole() if roles is None else roles.of[value.name]

    def _transfers(
        self, values: Mapping[int, Sequence[Value]], roles: Sequence[Role], cotangents: bool = False
    ) -> Transfers:
        """The same places of every size's values, with their roles."""
        return tuple(
            Transfer({size: listed[place].name for size, listed in values.items()}, role, cotangents)
            for place, role in enumerate(roles)
        )

    def _inputs(self) -> Transfers:
        programs = self.division.programs.items()
        roles = [self._role(value) for value in self.division.model.inputs]
        return self._transfers({size: program.model.inputs for size, program in programs}, roles)

    def _results(self) -> Transfers:
        programs = self.division.programs.items()
        roles = [self._role(value) for value in self.division.model.outputs]
        return self._transfers({size: program.forward.outputs for size, program in programs}, roles)

    def _cotangents(self) -> Transfers:
        programs = self.division.programs.items()
        roles = [self._role(self.division.model.outputs[place]) for place in self.division.program.of]
        return self._transfers({size: program.cotangents for size, program in programs}, roles, cotangents=True)

    def _gradients(self) -> Transfers:
        """What is the same in every tile has a gradient that adds up; a sample's gradient is its own."""
        values = {v.name: v for v in (*self.division.model.params, *self.division.model.inputs)}
        roles = [self._role(values[name]) for name in self.division.program.wrt]
        programs = {size: program.backward for size, program in self.division.programs.items()}
        outputs = {size: backward.outputs for size, backward in programs.items() if backward is not None}
        return self._transfers(outputs, [role if isinstance(role, PerSample) else PartialSum() for role in roles])


def _slots(incoming: Transfers, outgoing: Transfers) -> tuple[list[int], list[int]]:
    """Places of what is one run of memory for each tile, counted over both; and of the incoming others."""
    sliced = [place for place, transfer in enumerate((*incoming, *outgoing)) if transfer.is_sliced]
    return sliced, [place for place, transfer in enumerate(incoming) if not transfer.is_sliced]
