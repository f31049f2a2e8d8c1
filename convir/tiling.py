"""Dividing a batch into tiles that stay in cache, for worker threads to run side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from convir.compiler import Program, build
from convir.ir import ConvirError, Graph, UnsupportedError
from convir.passes.batch import BatchRoles, PerSample, batch_roles
from convir.passes.cost import work_of
from convir.passes.infer_shapes import InferShapes
from convir.passes.manager import Pass
from convir.passes.memory import MemoryPlan
from convir.runtime import KernelSet

#: Samples of a tile at least: shorter rows waste vectors, and every tile reads all weights.
LEAST_TILE = 16

#: Activations of a tile, as far as that leaves LEAST_TILE samples: what two neighbouring steps touch stays in cache.
TILE_BYTES = 2 * 2**20


@dataclass(frozen=True)
class Tile:
    """Samples ``start`` to ``stop`` of the batch."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many samples."""
        return self.stop - self.start


@dataclass(frozen=True)
class Tiles(Sequence[Tile]):
    """The parts of a batch: ``size`` samples each, the last what is left. Made when asked for: a batch may be huge."""

    batch: int
    size: int

    def __len__(self) -> int:
        return -(-self.batch // self.size)

    @overload
    def __getitem__(self, index: int) -> Tile: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Tile]: ...

    def __getitem__(self, index: int | slice) -> Tile | Sequence[Tile]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return Tile(place * self.size, min((place + 1) * self.size, self.batch))

    @property
    def sizes(self) -> tuple[int, ...]:
        """The sizes there are, that of the first tile first."""
        return tuple(dict.fromkeys((self[0].size, self[-1].size)))


@dataclass(frozen=True)
class Division:
    """A model's program, for the batch as a whole or in tiles.

    Attributes:
        model: the traced graph of the whole batch.
        tiles: parts of the batch, in order; one where the batch is not divided.
        lanes: how many threads run tiles side by side.
        threads: how many threads there are to use, for BLAS where lanes leave some.
        programs: tile size -> the program of a tile.
        roles: what the model's values are; None where the batch is not divided.
        reason: why it is not divided; empty where it is.
    """

    model: Graph
    tiles: Tiles
    lanes: int
    threads: int
    programs: Mapping[int, Program]
    roles: BatchRoles | None
    reason: str

    @property
    def program(self) -> Program:
        """The program of the first tile, which is the largest."""
        return self.programs[self.tiles[0].size]

    @property
    def owners(self) -> int:
        """How many arenas there are: a tile keeps its own from the forward to the backward; else one a lane will do."""
        return len(self.tiles) if self.program.backward else self.lanes

    @property
    def memory(self) -> MemoryPlan:
        """Where everything of the first tile lives, with as many arenas as there are, large enough for every tile.

        A smaller tile may need more: its loops are other loops, with other temporaries.
        """
        largest = max(program.memory.arena_bytes for program in self.programs.values())
        return replace(self.program.memory, arenas=self.owners, arena_bytes=largest)

    def __repr__(self) -> str:
        return f"<division: {self}>"

    def __str__(self) -> str:
        if self.roles is None:
            return f"one tile: {self.reason}"
        sizes = " and ".join(map(str, self.tiles.sizes))
        lanes = "one thread" if self.lanes == 1 else f"{self.lanes} threads"
        return f"{len(self.tiles)} tiles of {sizes} samples on {lanes}"


def divide(graph: Graph, passes: Sequence[Pass], kernels: KernelSet, threads: int, tile: int | None = None) -> Division:
    """Compile ``graph`` for tiles of its batch, where it can be divided and that pays.

    Args:
        graph: the traced graph of the whole batch.
        passes: the pipeline.
        kernels: what runs the nodes.
        threads: how many threads may run side by side.
        tile: samples of a tile; None to choose.

    Raises:
        VerifyError, UnsupportedError: see :func:`convir.compiler.build`.
    """
    try:
        roles = batch_roles(graph)
    except UnsupportedError as error:
        return _whole(graph, passes, kernels, threads, str(error))
    flops = sum(work.flops + work.pointwise for work in map(work_of, graph.nodes))
    lanes = max(1, min(threads, int(flops // kernels.lane_flops), roles.batch))
    size = _chosen_size(graph, roles, lanes) if tile is None else tile
    if size >= roles.batch:
        why = (
            f"the batch of {roles.batch} is small"
            if tile is None
            else f"a tile of {tile} holds the batch of {roles.batch}"
        )
        return _whole(graph, passes, kernels, threads if lanes > 1 else 1, why)
    tiles = Tiles(roles.batch, size)
    try:
        programs = {part: build(_resized(graph, roles, part), passes, kernels) for part in tiles.sizes}
    except ConvirError as error:
        return _whole(graph, passes, kernels, threads, str(error))
    return Division(graph, tiles, min(lanes, len(tiles)), threads, programs, roles, "")


def _whole(graph: Graph, passes: Sequence[Pass], kernels: KernelSet, threads: int, reason: str) -> Division:
    batch = graph.inputs[0].type.shape[0] if graph.inputs and graph.inputs[0].type.rank else 1
    return Division(graph, Tiles(batch, batch), 1, threads, {batch: build(graph, passes, kernels)}, None, reason)


def _chosen_size(graph: Graph, roles: BatchRoles, lanes: int) -> int:
    """Samples of a tile: few enough for the cache, not too few, and every lane has as many tiles as the others."""
    most = max(1, TILE_BYTES // _widest(graph, roles))
    size = max(LEAST_TILE, most - most % 8)
    share = -(-roles.batch // lanes)
    rounds = max(1, round(share / size))
    fair = -(-share // rounds)
    return fair if fair < 8 else fair + -fair % 8 if lanes * rounds > 1 else roles.batch


def _widest(graph: Graph, roles: BatchRoles) -> int:
    """Bytes that the step with the largest operands and results has for one sample."""

    def per_sample(value: object) -> int:
        return value.type.nbytes // roles.batch if isinstance(roles.of[value.name], PerSample) else 0  # type: ignore[attr-defined]

    return max((sum(map(per_sample, {*node.inputs, *node.outputs})) for node in graph.nodes), default=1) or 1


def _resized(graph: Graph, roles: BatchRoles, samples: int) -> Graph:
    """``graph`` for a tile."""
    types = {
        value.name: value.type.with_shape((samples, *value.type.shape[1:]))
        for value in graph.inputs
        if isinstance(roles.of[value.name], PerSample)
    }
    return InferShapes(types)(graph)
