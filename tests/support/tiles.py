"""Batch tiles done by hand: cutting arrays, running graphs tile by tile, and what a role says of the results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np

from convir.ir import Graph, TensorType, UnsupportedError, verify
from convir.passes.batch import BatchRoles, PartialMean, PartialSum, PerSample, Role, batch_roles
from convir.passes.infer_shapes import InferShapes
from support.graphs import interpret

Arrays = Mapping[str, np.ndarray]


def spans(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last sample of each tile."""
    return pairwise(np.cumsum([0, *sizes]).tolist())


def cut(array: np.ndarray, axis: int, sizes: Sequence[int]) -> list[np.ndarray]:
    """The slices of each tile."""
    return [array.take(range(start, stop), axis) for start, stop in spans(sizes)]


def holds(role: Role, whole: np.ndarray, tiles: Sequence[np.ndarray], sizes: Sequence[int]) -> bool:
    """Whether the tiles' values are to the whole batch's value as the role says."""
    if isinstance(role, PerSample):
        found = _concatenated(tiles, role.axis, sizes)
        return found is not None and _close(found, whole)
    if any(tile.shape != whole.shape for tile in tiles):
        return False
    if isinstance(role, PartialSum):
        return _close(sum(tiles), whole)
    if isinstance(role, PartialMean):
        return _close(sum(n * tile for n, tile in zip(sizes, tiles, strict=True)) / sum(sizes), whole)
    return all(_close(tile, whole) for tile in tiles)


def _concatenated(tiles: Sequence[np.ndarray], axis: int, sizes: Sequence[int]) -> np.ndarray | None:
    if any(axis >= tile.ndim or tile.shape[axis] != size for tile, size in zip(tiles, sizes, strict=True)):
        return None
    if len({(*tile.shape[:axis], *tile.shape[axis + 1 :]) for tile in tiles}) > 1:
        return None
    return np.concatenate(tiles, axis)


def _close(found: np.ndarray, expected: np.ndarray) -> bool:
    return found.shape == expected.shape and np.allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)


def run_tiles(graph: Graph, roles: BatchRoles, given: Arrays, sizes: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Every value of the graph in every tile: the graph re-specialised to the tile's size, node by node."""
    found = []
    for start, stop in spans(sizes):
        cuts = {
            value.name: given[value.name][start:stop]
            for value in graph.inputs
            if isinstance(roles.of[value.name], PerSample)
        }
        tile = InferShapes({name: TensorType(a.shape, a.dtype.name) for name, a in cuts.items()})(graph)
        verify(tile)
        found.append(interpret(tile, {**given, **cuts}))
    return found


def assert_tiles(graph: Graph, roles: BatchRoles, given: Arrays, sizes: Sequence[int]) -> None:
    """Every value of the graph is what its role says when the batch runs in tiles of these sizes."""
    assert sum(sizes) == roles.batch
    assert list(roles.of) == [value.name for value in graph.values()]
    assert roles.outputs == tuple(roles.of[value.name] for value in graph.outputs)
    whole, tiles = interpret(graph, given), run_tiles(graph, roles, given, sizes)
    for name, role in roles.of.items():
        assert holds(role, whole[name], [tile[name] for tile in tiles], sizes), f"{name} is not {role}:\n{graph}"


def assert_independent(graph: Graph, roles: BatchRoles, given: Arrays, sample: int) -> None:
    """With one sample changed, only its slices change of the values with a slice for each, and none that is whole."""
    changed = dict(given)
    for value in graph.inputs:
        if isinstance(roles.of[value.name], PerSample):
            changed[value.name] = given[value.name].copy()
            changed[value.name][sample] = (
                given[value.name][sample] * -1.5 + 0.25 if value.type.is_float else 1 - given[value.name][sample]
            )
    before, after = interpret(graph, given), interpret(graph, changed)
    for name, role in roles.of.items():
        if isinstance(role, PerSample):
            before[name], after[name] = (np.delete(values[name], sample, role.axis) for values in (before, after))
        if isinstance(role, PartialSum | PartialMean):
            continue
        assert _close(after[name], before[name]), f"{name} is {role} and depends on sample {sample}:\n{graph}"


def tileable_part(graph: Graph) -> Graph:
    """``graph`` without the nodes that :func:`batch_roles` refuses and all that read them; every value is an output."""
    kept, known = graph.replace(nodes=(), outputs=()), {value.name for value in (*graph.inputs, *graph.params)}
    for node in graph.nodes:
        if not known.issuperset(value.name for value in node.inputs):
            continue
        longer = kept.replace(nodes=(*kept.nodes, node))
        with suppress(UnsupportedError):
            batch_roles(longer)
            kept = longer
            known.update(value.name for value in node.outputs)
    return kept.replace(outputs=tuple(kept.values()))
