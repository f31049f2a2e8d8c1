"""Dots: one figure of each lowering in every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page.axis import Axis
from convir.comparison.page.drawing import Format, label, mark, panel, svg, vertical_grid

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BELOW = 460.0, 116.0, 16.0, 26.0, 6.0, 24.0
#: Characters of a layer's name that there is room for.
_ROOM = 15


@dataclass(frozen=True)
class Dot:
    """One lowering of a layer: its index, the figure, and all there is to say."""

    index: int
    value: float
    title: str


def dot_plot(
    title: str, rows: Sequence[tuple[str, Sequence[Dot]]], format: Format, *notes: str, base: int = 10
) -> Markup:
    """A panel with a line for each layer; the axis is logarithmic where values differ much.

    Args:
        title: of the panel.
        rows: name of the layer, and its dots.
        format: writes ticks.
        notes: below.
        base: 2 for ticks at powers of 2.
    """
    values = [dot.value for _, dots in rows for dot in dots]
    logarithmic = axes.wide(values)
    make = axes.logarithmic if logarithmic else axes.linear
    axis = make(values, _LEFT + 8, _WIDTH - _RIGHT, base=base)
    bottom = _TOP + _ROW * len(rows)
    drawn = [_row(name, dots, axis, _TOP + _ROW * (place + 0.5)) for place, (name, dots) in enumerate(rows)]
    drawing = svg(
        _WIDTH, bottom + _BELOW, title, vertical_grid(axis, _TOP, bottom, format), tag("g", *drawn, class_="marks")
    )
    return panel(f"{title}, log axis" if logarithmic else title, drawing, *notes)


def shortened(name: str, room: int = _ROOM) -> str:
    """The end of a long name, which says more than its beginning."""
    return name if len(name) <= room else f"…{name[-room + 1 :]}"


def _row(name: str, dots: Sequence[Dot], axis: Axis, y: float) -> Markup:
    shown = [dot for dot in dots if dot.value > 0 or not axis.logarithmic]
    places = [axis(dot.value) for dot in shown]
    span = [tag("line", x1=min(places), x2=max(places), y1=y, y2=y, class_="span")] if places else []
    marks = (mark(dot.index, x, y, dot.title) for dot, x in zip(shown, places, strict=True))
    return joined(label(_LEFT - 8, y + 4.5, shortened(name), "end"), *span, *marks)
