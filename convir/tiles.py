"""The parts that a batch is divided into, and how large they had best be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

from convir.ir import Graph
from convir.passes.batch import BatchRoles, PerSample

#: Samples of a tile at least: shorter rows waste vectors, and every tile reads all weights; but see
#: :func:`fills_caches`.
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


def chosen_size(graph: Graph, roles: BatchRoles, lanes: int) -> int:
    """Samples of a tile: what the cache holds, or up to half as many again, so that the busiest lane has least to do.

    Equal tiles keep lanes equally busy, and take one program instead of two. But rows that are no multiple of a vector
    waste part of the last one, see :func:`_cost`. Two lanes with 20 images therefore get 10 each, not 16 and 4, but one
    lane takes 100 as 56 and 44, not as 50 twice (LeNet-5, Numba: 119 microseconds instead of 161, and 1060 instead of
    1124). Among equals the fewest tiles are taken, and tiles of one size.
    """
    fitting = TILE_BYTES // _widest(graph, roles)
    fitting = max(LEAST_TILE, fitting - fitting % VECTOR)
    share = -(-roles.batch // lanes)
    sizes: list[int] = []
    for rounds in (-(-2 * share // (3 * fitting)), -(-share // fitting)):
        even = -(-roles.batch // (lanes * rounds))
        sizes += [even, even + -even % VECTOR]
    return min(sizes, key=lambda size: _busiest(Tiles(roles.batch, min(size, roles.batch)), lanes))


def fills_caches(graph: Graph, roles: BatchRoles) -> bool:
    """Whether one sample does not fit the caches, is more than the weights, and its rows alone fill vectors.

    Then nothing is gained by several together: of one sample the model's layout is that of the loops, so nothing is
    transposed (VGG-16's first layer, 3 to 64 channels of 224 x 224 pixels, 4 images, Numba, one thread: 15.0
    milliseconds instead of 21.8). But each tile reads the weights again, and transforms them where they are not frozen.
    """
    widest, weights = _widest(graph, roles), sum(value.type.nbytes for value in graph.params)
    return widest > max(TILE_BYTES, weights) and _shortest_row(graph, roles) >= LEAST_TILE


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
