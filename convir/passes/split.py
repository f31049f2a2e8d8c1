"""Dividing a joint graph into a forward and a backward half, and deciding what to keep between them.

Keeping a value costs its bytes from its making until the backward reads it; a value that is cheap to
compute can be computed again from others that are kept. The cheapest set of values to keep is a
minimum cut between what only the forward can compute and what the backward reads (Chen et al.,
*Training Deep Nets with Sublinear Memory Cost*, 2016, for the idea; the cut as in PyTorch's
AOTAutograd min-cut partitioner).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from convir.ir import Graph, Node, Value

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True)
class Split:
    """The two halves of a joint graph.

    Attributes:
        forward: inputs -> outputs, then the kept values.
        backward: kept values, cotangents -> gradients.
        kept: what lives in memory from the forward to the backward.
    """

    forward: Graph
    backward: Graph
    kept: tuple[Value, ...]


def split(joint: Graph, outputs: int, cotangents: Sequence[str]) -> Split:
    """Divide ``joint``, whose first ``outputs`` outputs are the forward's and whose inputs include ``cotangents``."""
    late = joint.depends_on(cotangents)
    kept_names = _minimum_cut(joint, late, outputs)
    inputs = tuple(value for value in joint.inputs if value.name not in cotangents)
    kept = tuple(value for value in joint.values() if value.name in kept_names)
    early = [value.name for value in (*joint.outputs[:outputs], *kept)]
    forward_nodes = _ancestors(joint, early, stop=set())
    forward = _half(joint, joint.name, inputs, forward_nodes, (*joint.outputs[:outputs], *kept))
    return Split(forward, _backward(joint, outputs, kept, cotangents, forward), kept)


def _minimum_cut(joint: Graph, late: set[str], outputs: int) -> set[str]:
    """Names of the early values to keep: the least bytes that let the backward compute all it reads.

    Among equals the cut nearest to the backward, so that nothing is computed again for no gain.
    """
    import networkx as nx

    source, sink = ("", "source"), ("", "sink")
    network: nx.DiGraph[tuple[str, str]] = nx.DiGraph()
    network.add_nodes_from((source, sink))
    free = {value.name for value in joint.params}
    early = {value.name: value for value in joint.values() if value.name not in late | free}
    for name, value in early.items():
        network.add_edge((name, "in"), (name, "out"), capacity=value.type.nbytes)
    network.add_edges_from((source, (value.name, "in")) for value in joint.inputs if value.name in early)
    for node in joint.nodes:
        _connect(network, node, [value.name for value in node.inputs if value.name in early], node.name in late)
    read = (value.name for value in joint.outputs[outputs:])
    network.add_edges_from(((name, "out"), sink) for name in read if name in early)
    _, (kept_side, _) = nx.minimum_cut(network, source, sink)
    return {name for name in early if (name, "in") in kept_side and (name, "out") not in kept_side}


def _connect(network: nx.DiGraph[tuple[str, str]], node: Node, operands: Sequence[str], is_late: bool) -> None:
    """Edges without capacity cannot be cut: what the backward reads, and what cannot be computed again."""
    if is_late:
        network.add_edges_from(((name, "out"), ("", "sink")) for name in operands)
    elif node.op.recomputable or not node.inputs:
        network.add_edges_from(((name, "out"), (out.name, "in")) for name in operands for out in node.outputs)
    else:
        network.add_edges_from((("", "source"), (out.name, "in")) for out in node.outputs)


def _ancestors(graph: Graph, names: Sequence[str], stop: set[str]) -> list[Node]:
    """Nodes that the named values need, in order, not looking behind the values in ``stop``."""
    needed, nodes = set(names) - stop, []
    for node in reversed(graph.nodes):
        if any(value.name in needed for value in node.outputs):
            nodes.append(node)
            needed.update(value.name for value in node.inputs if value.name not in stop)
    return nodes[::-1]


def _backward(joint: Graph, outputs: int, kept: tuple[Value, ...], cotangents: Sequence[str], forward: Graph) -> Graph:
    """The second half: late nodes in order, each preceded by what it needs computed again."""
    given = (*kept, *(value for value in joint.inputs if value.name in cotangents))
    nodes = _ancestors(joint, [v.name for v in joint.outputs[outputs:]], stop={value.name for value in given})
    taken = {value.name for value in joint.values()}
    again = {v.name: _again(v, taken) for node in nodes for v in node.outputs if v.name in forward.producers}
    renamed = [_rename(node, again) for node in nodes]
    grads = tuple(again.get(value.name, value) for value in joint.outputs[outputs:])
    ordered = _just_in_time(renamed, joint.depends_on(cotangents))
    return _half(joint, f"{joint.name}.backward", given, ordered, grads)


def _again(value: Value, taken: set[str]) -> Value:
    name = f"{value.name}.again"
    while name in taken:
        name += ".again"
    taken.add(name)
    return replace(value, name=name)


def _rename(node: Node, renamed: dict[str, Value]) -> Node:
    inputs = tuple(renamed.get(value.name, value) for value in node.inputs)
    if node.name not in renamed:
        return replace(node, inputs=inputs)
    outputs = tuple(renamed[value.name] for value in node.outputs)
    return replace(node, inputs=inputs, outputs=outputs, recomputes=node.name)


def _just_in_time(nodes: Sequence[Node], late: set[str]) -> list[Node]:
    """Recomputed nodes moved to right before their first reader, so that they live as short as possible."""
    early = {v.name: index for index, node in enumerate(nodes) if node.name not in late for v in node.outputs}
    placed: set[int] = set()
    ordered: list[Node] = []
    for reader in (node for node in nodes if node.name in late):
        needed = _needed(nodes, early, placed, reader)
        placed.update(needed)
        ordered += [*(nodes[index] for index in sorted(needed)), reader]
    return [*ordered, *(nodes[index] for index in sorted(set(early.values()) - placed))]


def _needed(nodes: Sequence[Node], early: Mapping[str, int], placed: set[int], reader: Node) -> set[int]:
    """Places of the early nodes that ``reader`` needs and that have not been placed yet."""
    needed = set[int]()
    queue = list(reader.inputs)
    while queue:
        index = early.get(queue.pop().name)
        if index is not None and index not in needed and index not in placed:
            needed.add(index)
            queue += nodes[index].inputs
    return needed


def _half(
    joint: Graph, name: str, inputs: tuple[Value, ...], nodes: Sequence[Node], outputs: tuple[Value, ...]
) -> Graph:
    read = {value.name for node in nodes for value in node.inputs} | {value.name for value in outputs}
    params = tuple(value for value in joint.params if value.name in read)
    return Graph(name, inputs, params, tuple(nodes), outputs, joint.bindings)
