"""Regions of any connected nodes of a graph."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from convir.ir import Builder, Graph, Node, Value, verify
from convir.ir.ops import Constant, Region


@st.composite
def with_drawn_region(draw: st.DrawFn, graph: Graph) -> Graph:
    """``graph`` with some nodes that hang together in one region; as it is where none can be drawn."""
    candidates = [index for index, node in enumerate(graph.nodes) if not isinstance(node.op, Constant)]
    if not candidates:
        return graph
    members = {draw(st.sampled_from(candidates))}
    for _ in range(draw(st.integers(1, 7))):
        beside = [index for index in candidates if index not in members and _touches(graph, index, members)]
        if beside:
            members.add(draw(st.sampled_from(beside)))
    return with_region(graph, members) or graph


def with_region(graph: Graph, members: set[int]) -> Graph | None:
    """The nodes at these places, and what lies between them, as one region; None where a result would be a view."""
    members = _closed(graph, members)
    inside = [graph.nodes[index] for index in sorted(members)]
    others = [node for index, node in enumerate(graph.nodes) if index not in members]
    results = _results(graph, inside, others)
    views = {node.name for node in inside if node.op.view}
    if any(value.name in views for value in results):
        return None
    made = {value.name for node in inside for value in node.outputs}
    operands = tuple(dict.fromkeys(v for node in inside for v in node.inputs if v.name not in made))
    region = Node(Region(_body(inside, operands, results)), operands, results)
    after = graph.replace(nodes=tuple(_in_order([*others, region], graph)))
    verify(after)
    return after


def _touches(graph: Graph, index: int, members: set[int]) -> bool:
    """Whether a node reads a member's result, or a member its."""
    node = graph.nodes[index]
    return any(
        _reads(node, graph.nodes[other]) or _reads(graph.nodes[other], node) for other in members if other != index
    )


def _reads(reader: Node, writer: Node) -> bool:
    return bool(set(reader.inputs) & set(writer.outputs))


def _closed(graph: Graph, members: set[int]) -> set[int]:
    """With every node on a path between two members."""
    below, above = set(members), set(members)
    for index, node in enumerate(graph.nodes):
        if any(_reads(node, graph.nodes[other]) for other in below if other < index):
            below.add(index)
    for index, node in reversed([*enumerate(graph.nodes)]):
        if any(_reads(graph.nodes[other], node) for other in above if other > index):
            above.add(index)
    return below & above


def _results(graph: Graph, inside: Sequence[Node], others: Sequence[Node]) -> tuple[Value, ...]:
    """What others read; the last where nobody reads any."""
    read = {value for node in others for value in node.inputs} | set(graph.outputs)
    return tuple(v for node in inside for v in node.outputs if v in read) or inside[-1].outputs


def _body(inside: Sequence[Node], operands: Sequence[Value], results: Sequence[Value]) -> Graph:
    builder = Builder("region")
    for value in operands:
        builder.input(value.name, value.type)
    for node in inside:
        builder.append(node)
    return builder.finish(results, {})


def _in_order(nodes: Sequence[Node], graph: Graph) -> list[Node]:
    """Every node behind those whose results it reads."""
    known, order, left = {value.name for value in (*graph.inputs, *graph.params)}, [], list(nodes)
    while left:
        node = next(node for node in left if all(value.name in known for value in node.inputs))
        left.remove(node)
        order.append(node)
        known |= {value.name for value in node.outputs}
    return order
