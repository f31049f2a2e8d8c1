"""Sweeps on the page: time, predicted time and scratch against what is swept, as plots and as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from convir.common.markup import Markup, tag
from convir.comparison.page import text
from convir.comparison.page.cells import cell, figure_cells, figure_heading, heading, heat, name_cell, sortable
from convir.comparison.page.columns import known
from convir.comparison.page.lines import Line, line_plot
from convir.comparison.page.view import time_of
from convir.comparison.report import ComparisonRow
from convir.comparison.table import name_of
from convir.comparison.words import tick

if TYPE_CHECKING:
    from convir.comparison.sweep_report import Sweep


def sweep_plots(sweep: Sweep) -> list[Markup]:
    """A plot for each kind of figure."""
    measured = _lines(sweep, lambda row: row.seconds, lambda row: row.predicted_seconds)
    scratch = _lines(sweep, lambda row: row.scratch_bytes)
    dashed = ["Dashed: predicted."] if any(line.expected for line in measured) else []
    plots = [line_plot("Time", sweep.over, measured, _seconds, *dashed)]
    if any(y for line in scratch for _, y in line.points):
        plots.append(line_plot("Scratch", sweep.over, scratch, _bytes, base=2))
    return plots


_Value = Callable[[ComparisonRow], float | None]


def _lines(sweep: Sweep, value: _Value, expected: _Value = lambda row: None) -> list[Line]:
    return [
        Line(name, index, _points(sweep, name, value), _points(sweep, name, expected))
        for index, name in enumerate(sweep.lowerings)
    ]


def _points(sweep: Sweep, lowering: str, value: _Value) -> list[tuple[float, float]]:
    found = [(at, value(row)) for at, row in sweep.rows[lowering].items()]
    return [(float(at), figure) for at, figure in found if figure is not None]


def _seconds(value: float) -> str:
    return tick(text.seconds(value))


def _bytes(value: float) -> str:
    return tick(text.size(value))


def sweep_matrix(sweep: Sweep) -> Markup:
    """Lowerings by values: the times."""
    head = [heading(sweep.over), *(heading(str(value), number=True) for value in sweep.values)]
    body = [
        tag("tr", name_cell(index, name), *_times(sweep, name), data_s=str(index))
        for index, name in enumerate(sweep.lowerings)
    ]
    return sortable(f"time by {sweep.over}", head, body, class_="matrix values")


def _times(sweep: Sweep, lowering: str) -> Iterator[Markup]:
    for value in sweep.values:
        row = sweep.rows[lowering].get(value)
        if row is None:
            yield cell(text.UNKNOWN, None)
            continue
        best = "best" if lowering in sweep.fastest(value) else None
        chosen = [tag("small", name) for name in row.chosen]
        yield tag("td", time_of(row), *chosen, class_=best, data_v=row.seconds, style=heat(row.ratio))


def points_table(sweep: Sweep) -> Markup:
    """Every value and lowering, and all that is known of it."""
    figures = known([point.row for point in sweep.points], sweep.inference)
    places = {name: index for index, name in enumerate(sweep.lowerings)}
    body = []
    for value in sweep.values:
        rows = [point.row for point in sweep.points if point.value == value]
        for row in rows:
            index = places[row.lowering]
            cells = [cell(str(value), value), name_cell(index, name_of(row)), *figure_cells(row, figures, rows)]
            body.append(tag("tr", *cells, data_s=str(index)))
    head = [heading(sweep.over, number=True), heading("lowering"), *map(figure_heading, figures)]
    return sortable(f"all points by {sweep.over}", head, body, class_="points")
