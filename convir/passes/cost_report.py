"""The cost report: a row for each node, totals, and how both are shown."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from convir.common.table import TextTable
from convir.passes.cost import NO_WORK, Work

#: Name and version of what :meth:`CostReport.to_json` returns.
SCHEMA = "convir.cost/1"

CONVENTIONS = (
    "1 MAC = 2 FLOPs. MACs: multiply-accumulates of convolutions and matrix products, padding included. "
    "Pointwise: every other scalar operation, comparison or elementary function, one each; not part of FLOPs. "
    "Multiplications: of data with data, one a MAC unless a column says otherwise. "
    "Bytes: each operand read once, each result written once; views move nothing."
)


@dataclass(frozen=True)
class CostRow:
    """What one node of the model costs, and what was executed for it.

    Attributes:
        name: the node's name; for work outside the model, the ``origin`` of the lowered nodes.
        op: the op's name.
        scope: module path in the user's model.
        type: the result's type, ``f32[64,6,28,28]``.
        parameters: parameter elements that this node is the first to read.
        parameter_bytes: bytes of those.
        shared_with: the node at which this node's parameters are counted already, when a layer is used again.
        model: the node's work.
        lowered: work of the lowered nodes that compute it; None if no lowered graph was given.
        in_model: False for a row of lowered nodes that come from no node of the model.
    """

    name: str
    op: str
    scope: str
    type: str
    parameters: int = 0
    parameter_bytes: int = 0
    shared_with: str = ""
    model: Work = NO_WORK
    lowered: Work | None = None
    in_model: bool = True

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates; None where the op has no cost rule."""
        return self.model.counted_macs

    @property
    def flops(self) -> int | None:
        """FLOPs, 2 a MAC; None where the op has no cost rule."""
        return self.model.counted_flops

    @property
    def pointwise(self) -> int | None:
        """All other scalar operations; None where the op has no cost rule."""
        return self.model.counted_pointwise

    @property
    def bytes_read(self) -> int:
        """Bytes of operands read."""
        return self.model.bytes_read

    @property
    def bytes_written(self) -> int:
        """Bytes of results written."""
        return self.model.bytes_written

    @property
    def intensity(self) -> float | None:
        """Arithmetic intensity, (FLOPs + pointwise) / bytes moved; None where unknown or nothing is moved."""
        return self.model.intensity

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types; see :meth:`CostReport.to_json`."""
        row: dict[str, Any] = {key: getattr(self, key) for key in _PLAIN_FIELDS}
        row.update(self.model.to_json())
        row["lowered"] = None if self.lowered is None else self.lowered.to_json()
        return row


_PLAIN_FIELDS = ("name", "op", "scope", "type", "parameters", "parameter_bytes", "shared_with", "in_model")


@dataclass(frozen=True)
class CostReport:
    """Operations, memory traffic, parameters and peak memory of a graph; prints as a table.

    Attributes:
        graph: name of the graph.
        rows: one for each node, then those of lowered nodes that come from no node of the model.
        parameters: parameter elements, each once however often it is used.
        parameter_bytes: bytes of those.
        lowered_parts: (name, work) of each lowered graph, in the order given.
        peak_bytes: peak memory of inference in bytes; None if no memory plan was given.
        training_peak_bytes: the same for a training step.
    """

    graph: str
    rows: tuple[CostRow, ...]
    parameters: int
    parameter_bytes: int
    lowered_parts: tuple[tuple[str, Work], ...] = ()
    peak_bytes: int | None = None
    training_peak_bytes: int | None = None

    @cached_property
    def model(self) -> Work:
        """The work of all nodes of the model."""
        return Work.total(row.model for row in self.rows)

    @cached_property
    def lowered(self) -> Work | None:
        """The work of all lowered nodes; None if no lowered graph was given."""
        return Work.total(work for _, work in self.lowered_parts) if self.lowered_parts else None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the model, without :attr:`uncounted` nodes."""
        return self.model.macs

    @property
    def flops(self) -> int:
        """FLOPs of the model, 2 a MAC, without :attr:`uncounted` nodes."""
        return self.model.flops

    @property
    def pointwise(self) -> int:
        """All other scalar operations of the model, without :attr:`uncounted` nodes."""
        return self.model.pointwise

    @property
    def bytes_read(self) -> int:
        """Bytes that the model's nodes read, in all."""
        return self.model.bytes_read

    @property
    def bytes_written(self) -> int:
        """Bytes that the model's nodes write, in all."""
        return self.model.bytes_written

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the nodes, of the model or lowered, whose op has no cost rule: in no total."""
        lowered = self.lowered.uncounted if self.lowered else ()
        return tuple(dict.fromkeys((*self.model.uncounted, *lowered)))

    def to_json(self) -> dict[str, Any]:
        """The report as a dict of plain types.

        ``schema``, ``graph``, ``conventions``; ``rows``, each with ``name, op, scope, type, parameters,
        parameter_bytes, shared_with, in_model``, the work ``macs, flops, pointwise, multiplications, bytes_read,
        bytes_written, intensity, nodes, uncounted`` and the same under ``lowered`` (or null); ``totals``: the work,
        ``parameters, parameter_bytes, peak_bytes, training_peak_bytes``, and under ``lowered`` (or null) the work of
        all lowered graphs with that of each by name under ``parts``. Bytes are bytes; what a row cannot count is null,
        and a total is the sum of what was counted, with the rest named in ``uncounted``.
        """
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "conventions": CONVENTIONS,
            "rows": [row.to_json() for row in self.rows],
            "totals": self._totals(),
            "uncounted": list(self.uncounted),
        }

    def _totals(self) -> dict[str, Any]:
        lowered = self.lowered
        parts = [{"graph": name, **work.totals()} for name, work in self.lowered_parts]
        return {
            **self.model.totals(),
            "parameters": self.parameters,
            "parameter_bytes": self.parameter_bytes,
            "peak_bytes": self.peak_bytes,
            "training_peak_bytes": self.training_peak_bytes,
            "lowered": None if lowered is None else {**lowered.totals(), "parts": parts},
        }

    def table(self) -> TextTable:
        """The report as a table that can be laid out at any width."""
        from convir.passes.cost_table import cost_table

        return cost_table(self)

    def __str__(self) -> str:
        return self.table().text()
