"""The verifier: re-runs every shape rule and checks that the graph is in SSA form."""

from __future__ import annotations

from convir.ir.errors import ConvirError, VerifyError
from convir.ir.graph import Graph, Node, Value
from convir.ir.text import format_node


def verify(graph: Graph, after: str = "") -> None:
    """Check that every value is defined once before use, with the type its op infers.

    Args:
        graph: the graph to check.
        after: name of the pass that made it, for the message.

    Raises:
        VerifyError: names the pass, the node, what was expected and found, and shows the neighbours.
    """
    defined: dict[str, Value] = {}
    for value in (*graph.inputs, *graph.params):
        if value.name in defined:
            raise VerifyError(f"two inputs or parameters are named {value.name!r}", _where(graph, after))
        defined[value.name] = value
    for index, node in enumerate(graph.nodes):
        problem = _problem(node, defined)
        if problem:
            raise VerifyError(f"{node.where}: {problem}\n{_neighbours(graph, index)}", _where(graph, after))
        defined.update((value.name, value) for value in node.outputs)
    for value in graph.outputs:
        if defined.get(value.name) != value:
            raise VerifyError(f"output {value} is {_found(value, defined)}", _where(graph, after))


def _problem(node: Node, defined: dict[str, Value]) -> str:
    """What is wrong with this node, or an empty string."""
    for value in node.inputs:
        if defined.get(value.name) != value:
            return f"operand {value} is {_found(value, defined)}"
    names = [value.name for value in node.outputs]
    for name in names:
        if name in defined or names.count(name) > 1:
            return f"value {name!r} is defined twice"
    try:
        node.op.check()
        expected = node.op.infer(*(value.type for value in node.inputs))
    except ConvirError as error:
        return error.message
    except Exception as error:  # an attribute of a wrong type fails in whatever way Python fails on it
        return f"its shape rule fails with {type(error).__name__}: {error}"
    found = tuple(value.type for value in node.outputs)
    if found != expected:
        return f"results should be {_types(expected)}, found {_types(found)}"
    return ""


def _found(value: Value, defined: dict[str, Value]) -> str:
    known = defined.get(value.name)
    return "not defined before its use" if known is None else f"defined with type {known.type}"


def _types(types: tuple[object, ...]) -> str:
    return ", ".join(map(str, types)) or "nothing"


def _where(graph: Graph, after: str) -> str:
    return f"graph {graph.name} after {after}" if after else f"graph {graph.name}"


def _neighbours(graph: Graph, index: int) -> str:
    """The node with two lines of the text form before and after it, marked."""
    first = max(index - 2, 0)
    return "\n".join(
        f"{'>' if first + offset == index else ' '} {format_node(node)}"
        for offset, node in enumerate(graph.nodes[first : index + 3])
    )
