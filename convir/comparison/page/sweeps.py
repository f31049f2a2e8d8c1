"""Sweeps on the page: time, predicted time and scratch against what is swept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from convir.common.markup import Markup, tag
from convir.comparison.page import text
from convir.comparison.page.lines import Line, line_plot

#: Lowering -> (swept value, figure), ascending.
Series = Mapping[str, Sequence[tuple[float, float]]]


@dataclass(frozen=True)
class SweepPlots:
    """A sweep as plain data.

    Attributes:
        title: what is swept, and of which layer.
        x_label: what the values are, with their unit.
        seconds: time of each lowering.
        scratch_bytes: scratch of each lowering.
        predicted: what the cost model expected; empty without a model.
    """

    title: str
    x_label: str
    seconds: Series
    scratch_bytes: Series
    predicted: Series = field(default_factory=dict)


def sweep_section(sweep: SweepPlots, index: Mapping[str, int]) -> Markup:
    """A section with a plot for each kind of figure; ``index`` is the place of each lowering, for its colour."""
    plots = [
        line_plot("Time", sweep.x_label, _lines(sweep.seconds, index), _seconds),
        line_plot("Scratch", sweep.x_label, _lines(sweep.scratch_bytes, index), _bytes, base=2),
    ]
    if sweep.predicted:
        plots.insert(1, line_plot("Predicted time", sweep.x_label, _lines(sweep.predicted, index), _seconds))
    return tag("section", tag("h2", sweep.title), tag("div", *plots, class_="plots"))


def _lines(series: Series, index: Mapping[str, int]) -> list[Line]:
    return [Line(name, index[name], points) for name, points in series.items()]


def _seconds(value: float) -> str:
    return text.tick(text.seconds(value))


def _bytes(value: float) -> str:
    return text.tick(text.size(value))
