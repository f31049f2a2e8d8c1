"""Dividing a batch into tiles that stay in cache, for worker threads to run side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral

from convir.compiler import Program, build
from convir.ir import ConvirError, Graph, UnsupportedError
from convir.ir.ops import DropoutMask, Relu
from convir.passes.batch import BatchRoles, PerSample, batch_roles
from convir.passes.cost import work_of
from convir.passes.differentiate import Differentiate
from convir.passes.dropout import RemoveDropout
from convir.passes.infer_shapes import InferShapes
from convir.passes.lower_conv import LowerConv
from convir.passes.manager import Pass
from convir.passes.memory import MemoryPlan
from convir.runtime import KernelSet, machine_cpus
from convir.tiles import Tiles, chosen_size, fills_caches


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
        size = 1 if self._is_each_alone(graph, roles, passes) else chosen_size(graph, roles, self._workers(graph))
        if size >= roles.batch:
            return self._whole(graph, passes, f"the batch of {roles.batch} is small")
        try:
            return self._in_tiles(graph, passes, roles, size)
        except ConvirError as error:
            return self._whole_instead(graph, passes, error)

    def _is_each_alone(self, graph: Graph, roles: BatchRoles, passes: Sequence[Pass]) -> bool:
        """Whether a tile is one sample: compiled, where samples are large, and every tile's gradients would be, too."""
        is_differentiated = any(isinstance(each, Differentiate) and each.targets(graph) for each in passes)
        return self.kernels.fuses and not is_differentiated and fills_caches(graph, roles)

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
