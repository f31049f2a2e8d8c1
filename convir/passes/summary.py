"""The summary of a model: its layers as a tree of modules, with shapes, parameters and MACs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convir.common.table import Column, TextTable, format_bytes, format_count
from convir.ir import Graph, UnsupportedError
from convir.passes.cost import Work
from convir.passes.cost_report import CostReport, CostRow
from convir.passes.cost_table import count_cell, parameters_cell
from convir.passes.estimate import estimate

#: Name and version of what :meth:`Summary.to_json` returns.
SCHEMA = "convir.summary/1"

_INDENT = "  "


@dataclass(frozen=True)
class SummaryRow:
    """A layer call, a module that holds some, or (below ``depth``) a module with all that is in it.

    Attributes:
        name: last part of the module path; the node's name for a function called in a container's forward.
        path: the whole module path.
        level: depth in the tree, 0 for the model's own children.
        op: the op's name; empty for the heading of a module.
        type: the result's type; empty for a heading.
        parameters: parameter elements counted here.
        shared: whether (more) parameters are counted at an earlier row.
        macs: multiply-accumulates; None where an op has no cost rule.
        heading: whether the row only names a module whose layers follow.
    """

    name: str
    path: str
    level: int
    op: str = ""
    type: str = ""
    parameters: int = 0
    shared: bool = False
    macs: int | None = 0
    heading: bool = False


@dataclass(frozen=True)
class Summary:
    """Layers and totals of a model; prints as a table.

    Attributes:
        rows: layers in the order they run, under the modules they belong to.
        cost: the costs behind the totals.
        inputs: (name, type) of each input.
        input_bytes: bytes of the inputs.
        activation_bytes: bytes of all results of layers (views and constants are none): what a training step that
            keeps everything keeps. Peak memory is less: buffers are used again.
    """

    rows: tuple[SummaryRow, ...]
    cost: CostReport
    inputs: tuple[tuple[str, str], ...]
    input_bytes: int
    activation_bytes: int

    @property
    def parameters(self) -> int:
        """Parameter elements, each once."""
        return self.cost.parameters

    @property
    def macs(self) -> int:
        """Multiply-accumulates of convolutions and matrix products."""
        return self.cost.macs

    @property
    def flops(self) -> int:
        """FLOPs of those, 2 each."""
        return self.cost.flops

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types: ``schema, graph, inputs, rows, totals, uncounted``.

        Rows have the fields of :class:`SummaryRow`. Totals are ``parameters, parameter_bytes, macs, flops,
        input_bytes, activation_bytes``. ``uncounted`` names the nodes without a cost rule.
        """
        return {
            "schema": SCHEMA,
            "graph": self.cost.graph,
            "inputs": dict(self.inputs),
            "rows": [dict(vars(row)) for row in self.rows],
            "totals": {
                "parameters": self.parameters,
                "parameter_bytes": self.cost.parameter_bytes,
                "macs": self.macs,
                "flops": self.flops,
                "input_bytes": self.input_bytes,
                "activation_bytes": self.activation_bytes,
            },
            "uncounted": list(self.cost.uncounted),
        }

    def table(self) -> TextTable:
        """The summary as a table that can be laid out at any width."""
        inputs = ", ".join(f"{name}: {type}" for name, type in self.inputs)
        return TextTable(
            columns=_COLUMNS,
            rows=[_cells(row) for row in self.rows],
            title=f"{self.cost.graph}({inputs})",
            footer=["total", "", "", f"{self.parameters:,}", format_count(self.macs)],
            notes=self._notes(),
        )

    def __str__(self) -> str:
        return self.table().text()

    def _notes(self) -> list[str]:
        cost = self.cost
        notes = [
            f"MACs: {self.macs:,}; FLOPs: {self.flops:,} (1 MAC = 2 FLOPs; convolutions and matrix products only).",
            f"Size: parameters {format_bytes(cost.parameter_bytes)}, input {format_bytes(self.input_bytes)}, "
            f"activations {format_bytes(self.activation_bytes)}.",
        ]
        if any(row.shared for row in self.rows):
            notes.append("shared: a module used again; its parameters are counted where it is first used.")
        if cost.uncounted:
            notes.append(f"Uncounted, no cost rule (? above, in no total): {', '.join(cost.uncounted)}.")
        return notes


_COLUMNS = (
    Column("layer", fold=True),
    Column("op", fold=True, optional=1),
    Column("output"),
    Column("parameters", "right"),
    Column("MACs", "right"),
)


def summarize(graph: Graph, *, depth: int | None = None) -> Summary:
    """The layers of ``graph`` by module, and totals.

    Args:
        graph: a traced model.
        depth: levels of modules to show; what is deeper is added up in one row for each call of its module.

    Raises:
        UnsupportedError: ``depth`` is not a positive integer.
    """
    if depth is not None and depth < 1:
        raise UnsupportedError(f"depth must be at least 1, got {depth}")
    cost = estimate(graph)
    return Summary(
        rows=tuple(_tree(cost.rows, depth)),
        cost=cost,
        inputs=tuple((value.name, str(value.type)) for value in graph.inputs),
        input_bytes=sum(value.type.nbytes for value in graph.inputs),
        activation_bytes=cost.bytes_written,
    )


def _tree(rows: Sequence[CostRow], depth: int | None) -> Iterator[SummaryRow]:
    """Rows in order, each module's heading before its first layer and again when the model comes back to it."""
    open_path: tuple[str, ...] = ()
    for path, run in _runs(rows, depth):
        parent = path[:-1] if _is_layer(path, run, rows, depth) else path
        for level in range(_common(open_path, parent), len(parent)):
            yield SummaryRow(parent[level], ".".join(parent[: level + 1]), level, heading=True)
        open_path = parent
        if parent == path:
            yield from (_row(row.name, path, len(path), [row]) for row in run)
        else:
            yield _row(path[-1], path, len(parent), run)


def _runs(rows: Sequence[CostRow], depth: int | None) -> Iterator[tuple[tuple[str, ...], list[CostRow]]]:
    """Neighbouring rows with the same module path, cut at ``depth``."""
    run: list[CostRow] = []
    for row in rows:
        if run and _path(run[0], depth) != _path(row, depth):
            yield _path(run[0], depth), run
            run = []
        run.append(row)
    if run:
        yield _path(run[0], depth), run


def _is_layer(path: tuple[str, ...], run: Sequence[CostRow], rows: Sequence[CostRow], depth: int | None) -> bool:
    """Whether a run is one line: a module with one op and no modules inside, or one folded at ``depth``."""
    if not path:
        return False
    if depth == len(path):
        return True
    inner = f"{'.'.join(path)}."
    return len(run) == 1 and not any(row.scope.startswith(inner) for row in rows)


def _row(name: str, path: tuple[str, ...], level: int, run: Sequence[CostRow]) -> SummaryRow:
    work = Work.total(row.model for row in run)
    here = {row.name for row in run}
    return SummaryRow(
        name=name,
        path=".".join(path),
        level=level,
        op=run[0].op if len(run) == 1 else f"{len(run)} ops",
        type=run[-1].type,
        parameters=sum(row.parameters for row in run),
        shared=any(row.shared_with and row.shared_with not in here for row in run),
        macs=work.counted_macs,
    )


def _path(row: CostRow, depth: int | None) -> tuple[str, ...]:
    parts = tuple(row.scope.split(".")) if row.scope else ()
    return parts[:depth]


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """Length of the common beginning."""
    differing = (level for level, (p, q) in enumerate(zip(a, b, strict=False)) if p != q)
    return next(differing, min(len(a), len(b)))


def _cells(row: SummaryRow) -> list[str]:
    name = _INDENT * row.level + row.name
    if row.heading:
        return [name, "", "", "", ""]
    parameters = parameters_cell(row.parameters, row.shared, lambda count: f"{count:,}")
    return [name, row.op, row.type, parameters, count_cell(row.macs)]
