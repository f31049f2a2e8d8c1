"""The generated source of a program, for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from convir.ir import ConvirError, Graph, Node, UnsupportedError
from convir.runtime.kernel_set import KernelSet


def program_source(graphs: Sequence[Graph], kernels: KernelSet, node: Node | str | None = None) -> str:
    """The Python source that ``kernels`` generate for a node, or for all nodes in order.

    Raises:
        UnsupportedError: the node has none, or no node has; the message says why.
        ConvirError: there is no such node.
    """
    if node is not None:
        return "\n\n".join(kernels.source(each) for each in _found(graphs, node))
    parts = [part for graph in graphs for part in _listed(graph, kernels)]
    return "\n\n\n".join(parts) + "\n"


def _found(graphs: Sequence[Graph], wanted: Node | str) -> list[Node]:
    """The nodes that are meant: one, or one in each half that has the name."""
    nodes = [node for graph in graphs for node in graph.nodes]
    found = [node for node in nodes if wanted in (node, *(value.name for value in node.outputs))]
    if not found:
        name = wanted.name if isinstance(wanted, Node) else wanted
        raise ConvirError(f"no node {name!r} in what runs; there are: {', '.join(node.name for node in nodes)}")
    return found


def _listed(graph: Graph, kernels: KernelSet) -> Iterator[str]:
    sources = [(node, _source_or_reason(node, kernels)) for node in graph.nodes]
    if not any(source for _, (source, _) in sources):
        raise UnsupportedError(
            f"{graph.name} has no generated source: backend {kernels.name!r} runs all of it by NumPy; "
            "compile(..., backend='numba') generates loops"
        )
    for node, (source, reason) in sources:
        yield source or f"# {node.name}: {reason}"


def _source_or_reason(node: Node, kernels: KernelSet) -> tuple[str, str]:
    try:
        return kernels.source(node), ""
    except UnsupportedError as error:
        return "", error.message
