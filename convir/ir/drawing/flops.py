"""The FLOPs to show in the boxes, from whatever the user has them in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any, Protocol, TypeAlias

from convir.ir.errors import UnsupportedError
from convir.ir.graph import Graph


class FlopsRow(Protocol):
    """A row of a report: one node."""

    @property
    def name(self) -> str:
        """The node's name."""

    @property
    def flops(self) -> float | None:
        """Its FLOPs; None where they are unknown."""


class FlopsReport(Protocol):
    """What a picture needs of a report of costs; that of ``convir.estimate`` is one."""

    @property
    def rows(self) -> Iterable[FlopsRow]:
        """One for each node."""


Flops: TypeAlias = Mapping[str, float] | FlopsReport


def flops_by_name(graph: Graph, flops: Flops | None) -> Mapping[str, float]:
    """Node name -> FLOPs. Of a report, rows of unknown or no FLOPs are left out.

    Raises:
        UnsupportedError: ``flops`` is something else, or lists a node that the graph does not have.
    """
    found = {} if flops is None else _listed(flops)
    unknown = sorted(set(found) - {node.name for node in graph.nodes}, key=str)
    if unknown:
        raise UnsupportedError(f"flops lists {unknown[0]!r}, which is no node of graph {graph.name}")
    for name, count in found.items():
        if not isinstance(count, Real):
            raise UnsupportedError(f"flops gives {count!r} for {name!r}, which is no number")
    return found


def _listed(flops: Any) -> Mapping[str, float]:
    if isinstance(flops, Mapping):
        return flops
    try:
        return {row.name: row.flops for row in flops.rows if row.flops}
    except (AttributeError, TypeError):
        raise UnsupportedError(
            f"flops must be a mapping from node names to FLOPs or a report with rows, got {flops!r}; "
            "pass flops=convir.estimate(graph)"
        ) from None
