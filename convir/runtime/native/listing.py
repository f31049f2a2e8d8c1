"""Generated source with a head that says what it is."""

from __future__ import annotations

from collections.abc import Iterator

from convir.ir import Node
from convir.ir.text import format_node
from convir.loops import Function
from convir.runtime.native.processor import describe


def listing(node: Node, function: Function, module: str) -> str:
    """The module that holds a node's loops, below comments on the node.

    Args:
        node: what the loops compute.
        function: the loops.
        module: source of the module.
    """
    return "\n".join([*(f"# {line}" for line in _head(node, function)), module.rstrip("\n")])


def _head(node: Node, function: Function) -> Iterator[str]:
    yield format_node(node)
    yield f"from {node.where}{f', model node {node.origin}' if node.origin and node.origin != node.name else ''}"
    if node.made_by:
        yield f"made by {node.made_by}"
    for place, operand in enumerate(function.operands):
        yield f"{_kind(node, place)} {operand.name}: {operand.type}{_value(node, place)}"
    for place, schedule in enumerate(function.schedules, 1):
        yield f"nest {place} of {len(function.schedules)}: {schedule}"
    yield f"for {describe()}"


def _kind(node: Node, place: int) -> str:
    if place < len(node.inputs):
        return "operand"
    return "result" if place < len(node.inputs) + len(node.outputs) else "temporary"


def _value(node: Node, place: int) -> str:
    """Which of the graph's values it is."""
    values = (*node.inputs, *node.outputs)
    return f", {values[place].name}" if place < len(values) else ""
