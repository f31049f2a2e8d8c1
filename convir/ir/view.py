"""The networkx view: for questions about paths, dominators and cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from convir.ir.graph import Graph, Node

if TYPE_CHECKING:
    import networkx as nx


def to_networkx(graph: Graph) -> nx.MultiDiGraph[str]:
    """The graph as a ``networkx.MultiDiGraph``; changing it does not change the graph.

    There is a node for every graph input, parameter and op, keyed by its name, with the attributes

    - ``role``: ``"input"``, ``"param"`` or ``"node"``;
    - ``type`` and ``types``: the TensorType of the (first) result, and of all results;
    - ``op`` and ``kind``: the op's name and family, ``""`` for inputs and parameters;
    - ``scope``, ``source``, ``origin`` and ``made_by``: as on :class:`~convir.ir.graph.Node`;
    - ``outputs``: the positions among the graph's outputs at which its results stand, ``()`` mostly;
    - ``node``: the :class:`~convir.ir.graph.Node`, or None for inputs and parameters.

    There is an edge for every operand, from the producer to the reader, with the attributes
    ``value`` (its name), ``type``, ``nbytes`` (a capacity for cuts) and ``operand`` (its index, which
    is also the edge's key: ``x * x`` has two edges). The view's own attributes are ``name``,
    ``inputs``, ``params`` and ``outputs``, as value names in order.

    >>> from convir.ir import Builder, TensorType, ops
    >>> builder = Builder("square")
    >>> x = builder.input("x", TensorType((2, 3)))
    >>> view = builder.finish([builder.emit(ops.Mul(), x, x, name="y")], {}).to_networkx()
    >>> sorted(view.nodes), [data["operand"] for _, _, data in view.edges(data=True)]
    (['x', 'y'], [0, 1])
    """
    import networkx as nx

    view: nx.MultiDiGraph[str] = nx.MultiDiGraph(
        name=graph.name,
        inputs=tuple(value.name for value in graph.inputs),
        params=tuple(value.name for value in graph.params),
        outputs=tuple(value.name for value in graph.outputs),
    )
    _add_nodes(view, graph)
    owner = {value.name: node.name for node in graph.nodes for value in node.outputs}
    for node in graph.nodes:
        for index, value in enumerate(node.inputs):
            view.add_edge(
                owner.get(value.name, value.name),
                node.name,
                key=index,
                value=value.name,
                type=value.type,
                nbytes=value.type.nbytes,
                operand=index,
            )
    return view


def _add_nodes(view: nx.MultiDiGraph[str], graph: Graph) -> None:
    positions: dict[str, list[int]] = {}
    for position, value in enumerate(graph.outputs):
        positions.setdefault(value.name, []).append(position)
    leaves = [("input", value) for value in graph.inputs] + [("param", value) for value in graph.params]
    for role, value in leaves:
        view.add_node(
            value.name,
            role=role,
            type=value.type,
            types=(value.type,),
            outputs=tuple(positions.get(value.name, ())),
            **_provenance(None),
        )
    for node in graph.nodes:
        view.add_node(
            node.name,
            role="node",
            type=node.outputs[0].type,
            types=tuple(value.type for value in node.outputs),
            outputs=tuple(position for value in node.outputs for position in positions.get(value.name, ())),
            **_provenance(node),
        )


def _provenance(node: Node | None) -> dict[str, object]:
    """The attributes that only an op has; inputs and parameters carry them too, empty."""
    if node is None:
        return {"op": "", "kind": "", "scope": "", "source": None, "origin": "", "made_by": "", "node": None}
    return {
        "op": node.op.name,
        "kind": node.op.kind,
        "scope": node.scope,
        "source": node.source,
        "origin": node.origin,
        "made_by": node.made_by,
        "node": node,
    }
