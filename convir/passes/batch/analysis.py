"""The roles of all values of a graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convir.ir import ConvirError, Graph, Node, ShapeError, UnsupportedError, Value
from convir.passes.batch.registry import Roles, roles_of
from convir.passes.batch.roles import PerSample, Role, Whole


@dataclass(frozen=True)
class BatchRoles:
    """What the values of a graph are when its batch runs in tiles.

    Attributes:
        batch: number of samples of the whole batch.
        of: value name -> role, for inputs, parameters and every result.
        outputs: roles of the graph's outputs, in order.
    """

    batch: int
    of: Mapping[str, Role]
    outputs: Roles


def batch_roles(graph: Graph, per_sample: Sequence[str] | None = None) -> BatchRoles:
    """What each value of ``graph`` is when the batch runs in tiles: the same graph, re-specialised to fewer samples.

    Sharding propagation, forward only: see :mod:`convir.passes.batch.roles`. Sums and means over the batch may go
    through linear ops. An answer is right for tiles of any sizes; a refusal may be for a graph that tiles could
    compute, where a rule does not see it.

    Args:
        graph: a traced graph; lowered ones have ops that lay the samples out in other ways.
        per_sample: names of the inputs whose axis 0 is the batch; the others are the same for every tile. None means
            all inputs of rank at least 1 whose first dimension is that of the first such input. Name them where
            an input has that many rows by chance.

    Raises:
        UnsupportedError: tiles cannot compute the graph; the message names the first node that mixes samples, with
            its place, and why; or the size that the traced code depended on.
        ShapeError: the named inputs do not have one number of samples.
        ConvirError: ``per_sample`` names something else than inputs.
    """
    inputs = _batched(graph) if per_sample is None else _named(graph, per_sample)
    batch = inputs[0].type.shape[0]
    names = {value.name for value in inputs}
    leaves = (*graph.inputs, *graph.params)
    of: dict[str, Role] = {value.name: PerSample(0) if value.name in names else Whole() for value in leaves}
    for node in graph.nodes:
        of.update(zip((value.name for value in node.outputs), _roles(node, of, batch), strict=True))
    _check_assumptions(graph, of)
    return BatchRoles(batch, of, tuple(of[value.name] for value in graph.outputs))


def _batched(graph: Graph) -> list[Value]:
    """The inputs with as many rows as the first that has any."""
    ranked = [value for value in graph.inputs if value.type.rank]
    if not ranked:
        raise UnsupportedError(f"graph {graph.name} has no input with a batch axis, so there is nothing to tile")
    return [value for value in ranked if value.type.shape[0] == ranked[0].type.shape[0]]


def _named(graph: Graph, names: Sequence[str]) -> list[Value]:
    known = {value.name: value for value in graph.inputs}
    unknown = [names] if isinstance(names, str) else [name for name in names if name not in known]
    if unknown or not names:
        given = repr(unknown[0]) if unknown else "no name"
        raise ConvirError(
            f"per_sample is a list of inputs of graph {graph.name}, got {given}; it has {', '.join(known) or 'none'}"
        )
    inputs = [known[name] for name in names]
    if any(value.type.shape[:1] != inputs[0].type.shape[:1] or not value.type.rank for value in inputs):
        raise ShapeError(f"inputs with one sample a row must have equally many rows, got {', '.join(map(str, inputs))}")
    return inputs


def _roles(node: Node, of: Mapping[str, Role], batch: int) -> Roles:
    operands = tuple(value.type for value in node.inputs)
    results = tuple(value.type for value in node.outputs)
    try:
        return roles_of(node.op, tuple(of[value.name] for value in node.inputs), operands, results, batch)
    except UnsupportedError as error:
        message = f"{node.name} cannot be computed in batch tiles: {error.message}"
        raise UnsupportedError(message, node.where) from None


def _check_assumptions(graph: Graph, of: Mapping[str, Role]) -> None:
    """Raise UnsupportedError if the traced code computed with the number of samples, which tiles change."""
    for assumed in graph.assumptions:
        if of.get(assumed.value) == PerSample(assumed.axis):
            where = f" ({assumed.source})" if assumed.source else ""
            raise UnsupportedError(
                f"graph {graph.name} cannot be computed in batch tiles: the traced code computed with the number of "
                f"samples, dimension {assumed.axis} of {assumed.value}{where}, which was {assumed.size}"
            )
