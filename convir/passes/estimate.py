"""Estimating what a graph costs, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from convir.ir import Graph, Node, Value
from convir.ir.ops import Constant
from convir.passes.cost import NO_WORK, Work, work_of
from convir.passes.cost_report import CostReport, CostRow

__all__ = ["CostReport", "CostRow", "Peak", "estimate"]


class Peak(Protocol):
    """What the estimate needs of a memory plan."""

    @property
    def peak_bytes(self) -> int:
        """Most bytes in use at any time."""


def estimate(
    graph: Graph,
    *,
    lowered: Sequence[Graph] = (),
    memory: Peak | None = None,
    training_memory: Peak | None = None,
) -> CostReport:
    """Operations, bytes and parameters of every node of ``graph`` and in all.

    Args:
        graph: the model, or any graph.
        lowered: graphs that compute it, e.g. forward and backward. Their nodes name, as ``origin``, the node of
            ``graph`` that they compute a part of; their work appears beside that node's. Work from no node of
            ``graph`` gets rows of its own.
        memory: plan of an inference; gives ``peak_bytes``.
        training_memory: plan of a training step; gives ``training_peak_bytes``.
    """
    executed = _by_origin(lowered)
    readers = _parameter_readers(graph)
    rows = [_row(node, readers, executed if lowered else None) for node in graph.nodes]
    names = {node.name for node in graph.nodes}
    rows += [_extra_row(origin, nodes) for origin, nodes in executed.items() if origin not in names]
    return CostReport(
        graph.name,
        tuple(rows),
        parameters=sum(value.type.size for value in graph.params),
        parameter_bytes=sum(value.type.nbytes for value in graph.params),
        lowered_parts=tuple((part.name, Work.total(map(work_of, part.nodes))) for part in lowered),
        peak_bytes=_peak(memory),
        training_peak_bytes=_peak(training_memory),
    )


def _peak(plan: Peak | None) -> int | None:
    return None if plan is None else plan.peak_bytes


@dataclass(frozen=True)
class _Reading:
    """Where a parameter is counted."""

    value: Value
    first: Node


def _parameter_readers(graph: Graph) -> Mapping[str, _Reading]:
    """Parameter name -> the parameter and the first node that reads it."""
    return {
        value.name: _Reading(value, graph.consumers[value.name][0])
        for value in graph.params
        if graph.consumers[value.name]
    }


def _row(node: Node, readers: Mapping[str, _Reading], executed: Mapping[str, list[Node]] | None) -> CostRow:
    readings = [readers[name] for name in dict.fromkeys(v.name for v in node.inputs) if name in readers]
    own = [reading.value.type for reading in readings if reading.first is node]
    return CostRow(
        name=node.name,
        op=node.op.name,
        scope=node.scope,
        type=_types(node),
        parameters=sum(type.size for type in own),
        parameter_bytes=sum(type.nbytes for type in own),
        shared_with=_shared_with(node, readings),
        model=work_of(node),
        lowered=None if executed is None else Work.total(map(work_of, executed.get(node.name, ()))),
    )


def _shared_with(node: Node, readings: Sequence[_Reading]) -> str:
    """Name of an earlier node that uses the same parameters as another call of the layer.

    A gradient node also reads its layer's weight, but it computes a part of the same node.
    """
    for reading in readings:
        if _origin(reading.first) != _origin(node):
            return reading.first.name
    return ""


def _extra_row(origin: str, nodes: Sequence[Node]) -> CostRow:
    """A row for lowered nodes that come from no node of the model."""
    return CostRow(
        name=origin,
        op=", ".join(dict.fromkeys(node.op.name for node in nodes)),
        scope=nodes[0].scope,
        type=_types(nodes[-1]),
        model=NO_WORK,
        lowered=Work.total(map(work_of, nodes)),
        in_model=False,
    )


def _by_origin(graphs: Iterable[Graph]) -> dict[str, list[Node]]:
    grouped: dict[str, list[Node]] = {}
    for graph in graphs:
        for node in graph.nodes:
            if not isinstance(node.op, Constant):  # nothing is executed for it
                grouped.setdefault(_origin(node), []).append(node)
    return grouped


def _origin(node: Node) -> str:
    return node.origin or node.name


def _types(node: Node) -> str:
    return ", ".join(str(value.type) for value in node.outputs)
