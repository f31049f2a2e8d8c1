"""The cost report as a text table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from convir.common.table import Column, TextTable, format_bytes, format_count
from convir.passes.cost import Work
from convir.passes.cost_report import CONVENTIONS, CostReport, CostRow

_NONE = "-"
_UNKNOWN = "?"

#: What the columns are called that are shown only where they say something that MACs do not.
_MULTIPLICATIONS = "multiplications"


@dataclass(frozen=True)
class _Entry:
    """A column with the text of its cells and of its total."""

    column: Column
    cell: Callable[[CostRow], str]
    total: Callable[[CostReport], str] = lambda report: ""


def cost_table(report: CostReport) -> TextTable:
    """A row for each node; with lowered graphs, the model's figures and the executed ones side by side."""
    figures = _MODEL if report.lowered is None else _side_by_side(report)
    if _one_a_mac(report):
        figures = tuple(entry for entry in figures if not entry.column.name.startswith(_MULTIPLICATIONS))
    entries = _NAMES + figures
    return TextTable(
        columns=[entry.column for entry in entries],
        rows=[[entry.cell(row) for entry in entries] for row in report.rows],
        title=f"Cost of {report.graph}",
        footer=[entry.total(report) for entry in entries],
        notes=[*_totals(report), *_remarks(report), CONVENTIONS],
    )


def count_cell(count: int | None) -> str:
    """A count for a cell: ``-`` is zero and ``?`` is unknown, so that neither is taken for the other."""
    if count is None:
        return _UNKNOWN
    return format_count(count) if count else _NONE


def bytes_cell(count: int) -> str:
    """Bytes for a cell; ``-`` is zero."""
    return format_bytes(count) if count else _NONE


def parameters_cell(parameters: int, shared: bool, formatted: Callable[[int], str]) -> str:
    """Parameters for a cell; ``shared`` where they are counted at another row."""
    if not shared:
        return formatted(parameters) if parameters else _NONE
    return f"{formatted(parameters)} + shared" if parameters else "shared"


def _parameters(row: CostRow) -> str:
    return parameters_cell(row.parameters, bool(row.shared_with), format_count)


def _intensity(work: Work) -> str:
    return _NONE if work.intensity is None else format_count(work.intensity)


def _executed(row: CostRow) -> Work:
    return row.lowered or Work()


def _all_executed(report: CostReport) -> Work:
    return report.lowered or Work()


def _one_a_mac(report: CostReport) -> bool:
    """Whether every row has as many multiplications as MACs, as executed too."""
    works = [work for row in report.rows for work in (row.model, _executed(row))]
    return all(work.multiplications == work.macs for work in works)


def _phases(report: CostReport) -> tuple[str, str]:
    """What the model's and the lowered columns count; empty where both count the same."""
    names = [name for name, _ in report.lowered_parts]
    if len(names) < 2:
        return "", ""
    is_joint = names[1:] == [f"{names[0]}.backward"]
    return ("forward", "fwd + bwd") if is_joint else ("", f"{len(names)} graphs")


def _side_by_side(report: CostReport) -> tuple[_Entry, ...]:
    """The columns of :data:`_SIDE_BY_SIDE`, with what they count in a third heading line where that differs."""
    model, lowered = _phases(report)
    phase_of = {"model": model, "as lowered": lowered}

    def labelled(column: Column) -> Column:
        figure, which = column.name.split("\n")
        return replace(column, name="\n".join(filter(None, (figure, which, phase_of[which]))))

    return tuple(replace(entry, column=labelled(entry.column)) for entry in _SIDE_BY_SIDE)


def _right(name: str, optional: int = 0) -> Column:
    return Column(name, "right", optional=optional)


_NAMES = (
    _Entry(Column("node", fold=True), lambda row: row.name, lambda report: "total"),
    _Entry(Column("op", fold=True), lambda row: row.op),
    _Entry(Column("output", optional=2), lambda row: row.type),
    _Entry(_right("params"), _parameters, lambda report: format_count(report.parameters)),
)

_MODEL = (
    _Entry(_right("MACs"), lambda row: count_cell(row.macs), lambda report: count_cell(report.macs)),
    _Entry(_right("FLOPs", 5), lambda row: count_cell(row.flops), lambda report: count_cell(report.flops)),
    _Entry(
        _right(_MULTIPLICATIONS),
        lambda row: count_cell(row.model.counted_multiplications),
        lambda report: count_cell(report.model.multiplications),
    ),
    _Entry(_right("pointwise"), lambda row: count_cell(row.pointwise), lambda report: count_cell(report.pointwise)),
    _Entry(_right("read", 4), lambda row: bytes_cell(row.bytes_read), lambda report: bytes_cell(report.bytes_read)),
    _Entry(
        _right("written", 3),
        lambda row: bytes_cell(row.bytes_written),
        lambda report: bytes_cell(report.bytes_written),
    ),
    _Entry(_right("FLOP/B", 1), lambda row: _intensity(row.model), lambda report: _intensity(report.model)),
)

_SIDE_BY_SIDE = (
    _Entry(_right("FLOPs\nmodel"), lambda row: count_cell(row.flops), lambda report: count_cell(report.flops)),
    _Entry(
        _right("FLOPs\nas lowered"),
        lambda row: count_cell(_executed(row).counted_flops),
        lambda report: count_cell(_all_executed(report).flops),
    ),
    _Entry(
        _right(f"{_MULTIPLICATIONS}\nmodel"),
        lambda row: count_cell(row.model.counted_multiplications),
        lambda report: count_cell(report.model.multiplications),
    ),
    _Entry(
        _right(f"{_MULTIPLICATIONS}\nas lowered"),
        lambda row: count_cell(_executed(row).counted_multiplications),
        lambda report: count_cell(_all_executed(report).multiplications),
    ),
    _Entry(
        _right("pointwise\nmodel", 3),
        lambda row: count_cell(row.pointwise),
        lambda report: count_cell(report.pointwise),
    ),
    _Entry(
        _right("pointwise\nas lowered", 3),
        lambda row: count_cell(_executed(row).counted_pointwise),
        lambda report: count_cell(_all_executed(report).pointwise),
    ),
    _Entry(
        _right("bytes\nmodel", 1),
        lambda row: bytes_cell(row.model.bytes_moved),
        lambda report: bytes_cell(report.model.bytes_moved),
    ),
    _Entry(
        _right("bytes\nas lowered", 1),
        lambda row: bytes_cell(_executed(row).bytes_moved),
        lambda report: bytes_cell(_all_executed(report).bytes_moved),
    ),
)


def _totals(report: CostReport) -> list[str]:
    """Exact totals, a line each: the table's are rounded."""
    lines = [f"Model: {_work_line(report.model)}."]
    if report.lowered is not None:
        phase = " (forward + backward)" if _phases(report)[0] else ""
        lines.append(f"As lowered{phase}: {_work_line(report.lowered)}.")
    if len(report.lowered_parts) > 1:
        lines += [f"  {name}: {_work_line(work)}." for name, work in report.lowered_parts]
    lines.append(f"Parameters: {report.parameters:,} ({format_bytes(report.parameter_bytes)}).")
    peaks = {"inference": report.peak_bytes, "training": report.training_peak_bytes}
    known = [f"{label} {format_bytes(peak)}" for label, peak in peaks.items() if peak is not None]
    return [*lines, f"Peak memory: {', '.join(known)}."] if known else lines


def _work_line(work: Work) -> str:
    products = "" if work.multiplications == work.macs else f"{work.multiplications:,} {_MULTIPLICATIONS}, "
    return (
        f"{work.macs:,} MACs = {work.flops:,} FLOPs, {products}{work.pointwise:,} pointwise, "
        f"{format_bytes(work.bytes_read)} read, {format_bytes(work.bytes_written)} written"
    )


def _remarks(report: CostReport) -> list[str]:
    remarks = []
    if any(row.shared_with for row in report.rows):
        pairs = [f"{row.name} with {row.shared_with}" for row in report.rows if row.shared_with]
        remarks.append(f"Shared parameters are counted once: {', '.join(pairs)}.")
    if any(not row.in_model for row in report.rows):
        extra = ", ".join(row.name for row in report.rows if not row.in_model)
        remarks.append(f"Executed, but part of no node of the model: {extra}.")
    if report.uncounted:
        remarks.append(f"Uncounted, no cost rule (? above, in no total): {', '.join(report.uncounted)}.")
    return remarks
