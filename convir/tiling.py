"""Dividing a batch into tiles that stay in cache, for worker threads to run side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import overload

from convir.compiler import Program, build
from convir.ir import ConvirError, Graph, UnsupportedError
from convir.ir.ops import DropoutMask, Relu
from convir.passes.batch import BatchRoles, PerSample, batch_roles
from convir.passes.cost import work_of
from convir.passes.dropout import RemoveDropout
from convir.passes.infer_shapes import InferShapes
from convir.passes.lower_conv import LowerConv
from convir.passes.manager import Pass
from convir.passes.memory import MemoryPlan
from convir.runtime import KernelSet, machine_cpus

#: Samples of a tile at least: shorter rows waste vectors, and every tile reads all weights. Where all rows of images
#: are long and one sample alone is more than TILE_BYTES, a tile is one sample: see :func:`_fitting`.
LEAST_TILE = 16

#: Samples in a vector: 32 bytes of float32.
VECTOR = 8

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
        threads: how many threads were allowed, for BLAS where lanes leave some.
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
    def lane_threads(self) -> int:
        """How many threads BLAS may use in a lane: those that the other lanes leave."""
        return self.threads if self.lanes == 1 else 1

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
        limit = f", one for each CPU (threads={self.threads})" if self.threads > machine_cpus() == self.lanes else ""
        return f"{len(self.tiles)} tiles of {sizes} samples on {lanes}{limit}"


@dataclass(frozen=True)
class Target:
    """What programs are compiled for.

    Attributes:
        kernels: what runs the nodes.
        threads: how many threads may run side by side.
        tile: samples of a tile at most; None to choose.
    """

    kernels: KernelSet
    threads: int
    tile: int | None = None

    def divide(self, graph: Graph, passes: Sequence[Pass]) -> Division:
        """Compile ``graph``, traced for the whole batch, for tiles of it.

        Without a :attr:`tile` it is divided where it can be and that pays.

        Raises:
            UnsupportedError: there is a :attr:`tile`, smaller than the batch, and the graph cannot be divided.
            VerifyError, UnsupportedError: see :func:`convir.compiler.build`.
        """
        if self.tile is None:
            return self._as_it_pays(graph, passes)
        batch = _batch(graph)
        if self.tile >= batch:
            return self._whole(graph, passes, f"a tile of {self.tile} holds the batch of {batch}")
        return self._as_told(graph, passes, self.tile)

    def _as_it_pays(self, graph: Graph, passes: Sequence[Pass]) -> Division:
        try:
            roles = batch_roles(_analysed(graph, passes))
        except UnsupportedError as error:
            return self._whole(graph, passes, str(error))
        size = _chosen_size(graph, roles, self._workers(graph))
        if size >= roles.batch:
            return self._whole(graph, passes, f"the batch of {roles.batch} is small")
        try:
            return self._in_tiles(graph, passes, roles, size)
        except ConvirError as error:
            return self._whole_instead(graph, passes, error)

    def _as_told(self, graph: Graph, passes: Sequence[Pass], tile: int) -> Division:
        try:
            return self._in_tiles(graph, passes, batch_roles(_analysed(graph, passes)), tile)
        except ConvirError as error:
            raise UnsupportedError(
                f"tile={tile} asks for tiles, but {error.message}; without tile= it runs in tiles that are chosen, or "
                "in one piece",
                error.where,
            ) from None

    def _in_tiles(self, graph: Graph, passes: Sequence[Pass], roles: BatchRoles, size: int) -> Division:
        tiles = Tiles(roles.batch, size)
        lanes = min(self._workers(graph), len(tiles))
        passes = _placed(passes, self.threads if lanes == 1 else 1)
        programs = {part: build(_resized(graph, roles, part), passes, self.kernels) for part in tiles.sizes}
        return Division(graph, tiles, lanes, self.threads, programs, roles, "")

    def _whole_instead(self, graph: Graph, passes: Sequence[Pass], tiled: ConvirError) -> Division:
        """The batch in one piece; where that cannot be had either, what was wrong with tiles, which come nearer.

        A layer that needs too much memory in a tile needs more in the whole, where another one may be the first to.
        """
        try:
            return self._whole(graph, passes, str(tiled))
        except UnsupportedError:
            raise tiled from None

    def _whole(self, graph: Graph, passes: Sequence[Pass], reason: str) -> Division:
        tiles = Tiles(_batch(graph), _batch(graph))
        threads = self.threads if self._workers(graph) > 1 else 1
        program = build(graph, _placed(passes, threads), self.kernels)
        return Division(graph, tiles, 1, threads, {tiles.size: program}, None, reason)

    def _workers(self, graph: Graph) -> int:
        """How many threads there is enough work for, in operations and samples."""
        operations = sum(work.flops + work.pointwise for work in map(work_of, graph.nodes))
        return max(1, min(self.threads, machine_cpus(), int(operations // self.kernels.lane_flops), _batch(graph)))


def checked_tile(tile: int | None) -> int | None:
    """``tile``; raises ConvirError for what is no number of samples."""
    if tile is None or (isinstance(tile, Integral) and not isinstance(tile, bool) and tile > 0):
        return tile if tile is None else int(tile)
    raise ConvirError(f"tile is a positive number of samples, or None to choose one; not {tile!r}")


def _placed(passes: Sequence[Pass], threads: int) -> list[Pass]:
    """The passes, those that choose strategies told how many threads matrix products may use."""
    return [replace(each, threads=threads) if isinstance(each, LowerConv) else each for each in passes]


def _batch(graph: Graph) -> int:
    """Samples of the batch, if there is a batch; 1 without an input that has rows."""
    return next((value.type.shape[0] for value in graph.inputs if value.type.rank), 1)


def _analysed(graph: Graph, passes: Sequence[Pass]) -> Graph:
    """The graph of which the roles are asked.

    Where the passes remove dropout nothing is drawn: a mask counts as a function of its operand, element by element, so
    that what it multiplies stays what it is.
    """
    if not any(isinstance(each, RemoveDropout) for each in passes):
        return graph
    nodes = [replace(node, op=Relu()) if isinstance(node.op, DropoutMask) else node for node in graph.nodes]
    return graph.replace(nodes=tuple(nodes))


def _chosen_size(graph: Graph, roles: BatchRoles, lanes: int) -> int:
    """Samples of a tile: what the cache holds, or up to half as many again, so that the busiest lane has least to do.

    Equal tiles keep lanes equally busy, and take one program instead of two. But rows that are no multiple of a vector
    waste part of the last one, see :func:`_cost`. Two lanes with 20 images therefore get 10 each, not 16 and 4, but one
    lane takes 100 as 56 and 44, not as 50 twice (LeNet-5, Numba: 119 microseconds instead of 161, and 1060 instead of
    1124). Among equals the fewest tiles are taken, and tiles of one size.
    """
    fitting = _fitting(graph, roles)
    if fitting == 1:
        return 1
    share = -(-roles.batch // lanes)
    sizes: list[int] = []
    for rounds in (-(-2 * share // (3 * fitting)), -(-share // fitting)):
        even = -(-roles.batch // (lanes * rounds))
        sizes += [even, even + -even % VECTOR]
    return min(sizes, key=lambda size: _busiest(Tiles(roles.batch, min(size, roles.batch)), lanes))


def _fitting(graph: Graph, roles: BatchRoles) -> int:
    """Samples of which two neighbouring steps stay in cache, or :data:`LEAST_TILE`.

    One, where a sample does not fit and its rows alone fill vectors: VGG-16's first layer by itself, 3 to 64 channels
    of 224 x 224 pixels. Of one sample the model's layout is that of the loops, so nothing is transposed (4 images,
    Numba, one thread: 15.0 milliseconds instead of 21.8).
    """
    fitting = TILE_BYTES // _widest(graph, roles)
    if fitting == 0 and _shortest_row(graph, roles) >= LEAST_TILE:
        return 1
    return max(LEAST_TILE, fitting - fitting % VECTOR)


def _shortest_row(graph: Graph, roles: BatchRoles) -> int:
    """Pixels of the shortest row of images; 1 where samples have no rows."""
    values = {value for node in graph.nodes for value in (*node.inputs, *node.outputs)}
    samples = [value.type for value in values if isinstance(roles.of[value.name], PerSample)]
    return min((type.shape[-1] if type.rank == 4 else 1 for type in samples), default=1)


def _busiest(tiles: Tiles, lanes: int) -> float:
    """Cost of the first lane, which has most to do: each takes the next tile that is left."""
    rounds = -(-len(tiles) // lanes)
    is_last_alone = (len(tiles) - 1) % lanes == 0
    return (rounds - 1) * _cost(tiles.size) + _cost(tiles[-1 if is_last_alone else 0].size)


def _cost(samples: int) -> float:
    """Of a tile, in samples: half of the loops run along the batch and compute whole vectors."""
    return samples + (-samples % VECTOR) / 2


def _widest(graph: Graph, roles: BatchRoles) -> int:
    """Bytes that the step with the largest operands and results has for one sample."""

    def per_sample(value: object) -> int:
        return value.type.nbytes // roles.batch if isinstance(roles.of[value.name], PerSample) else 0  # type: ignore[attr-defined]

    return max((sum(map(per_sample, {*node.inputs, *node.outputs})) for node in graph.nodes), default=1) or 1


def with_batch(graph: Graph, samples: int) -> Graph:
    """``graph`` without dropout for another batch.

    Raises:
        UnsupportedError: it does not treat each sample by itself; the message is the reason.
        ConvirError: the traced code depends on the size of the batch.
    """
    passes = (RemoveDropout(),)
    return _resized(graph, batch_roles(_analysed(graph, passes)), samples)


def _resized(graph: Graph, roles: BatchRoles, samples: int) -> Graph:
    """``graph`` for a tile."""
    types = {
        value.name: value.type.with_shape((samples, *value.type.shape[1:]))
        for value in graph.inputs
        if isinstance(roles.of[value.name], PerSample)
    }
    return InferShapes(types)(graph)
