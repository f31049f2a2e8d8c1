"""The text form: one node a line, typed results, attributes by keyword, provenance at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from convir.ir.graph import Graph, Node

#: Provenance is aligned in one column, but a single long line does not push it off the screen.
_MAX_COLUMN = 110
#: Lines that are this little longer than the rest move the column, as far as the limit: a remark a letter out of
#: line looks like a mistake.
_NEAR, _LIMIT = 4, 118


def format_graph(graph: Graph) -> str:
    """The whole graph as text, deterministic and without trailing newline."""
    bodies = [format_node(node) for node in graph.nodes]
    column = _remark_column([len(body) for body in bodies])
    lines = [_signature(graph)]
    for body, node in zip(bodies, graph.nodes, strict=True):
        remark = _remark(node)
        lines.append(f"  {body:<{column}}   # {remark}" if remark else f"  {body}")
        lines += [f"    | {line}" for line in _inner_lines(node)]
    lines.append(f"  return {', '.join(value.name for value in graph.outputs)}")
    return "\n".join(lines)


def _inner_lines(node: Node) -> Iterator[str]:
    """What stands below a node that has a graph inside: its nodes, and what it returns."""
    inner = getattr(node.op, "body", None)
    if isinstance(inner, Graph):
        yield from map(format_node, inner.nodes)
        yield f"return {', '.join(value.name for value in inner.outputs)}"


def format_node(node: Node) -> str:
    """``conv1 = conv2d(x, conv1.weight, stride=(1, 1)) : f32[64,6,28,28]``."""
    names = ", ".join(value.name for value in node.outputs)
    types = ", ".join(str(value.type) for value in node.outputs)
    arguments = [value.name for value in node.inputs]
    arguments += [f"{key}={format_attribute(value)}" for key, value in node.op.attributes().items()]
    return f"{names} = {node.op.name}({', '.join(arguments)}) : {types}"


def format_attribute(value: Any) -> str:
    """Strings bare, everything else as Python writes it."""
    return value if isinstance(value, str) else repr(value)


def _remark_column(lengths: Sequence[int]) -> int:
    column = max((length for length in lengths if length <= _MAX_COLUMN), default=0)
    for length in sorted(lengths):
        if column < length <= min(column + _NEAR, _LIMIT):
            column = length
    return column


def _signature(graph: Graph) -> str:
    inputs = ", ".join(str(value) for value in graph.inputs)
    outputs = ", ".join(str(value.type) for value in graph.outputs)
    results = outputs if len(graph.outputs) == 1 else f"({outputs})"
    return f"graph {graph.name}({inputs}) -> {results}:"


def _remark(node: Node) -> str:
    if not node.made_by:
        return node.scope
    return f"{node.scope} <- {node.made_by}" if node.scope else f"<- {node.made_by}"
