"""Dots: one figure of each lowering in every layer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page.axis import Axis
from convir.comparison.page.drawing import Format, label, mark, panel, svg, vertical_grid

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BELOW = 460.0, 116.0, 32.0, 30.0, 6.0, 24.0
#: Marks closer than this lie above and below each other, at these distances from the middle of the line.
_CLOSE, _LEVELS = 9.0, (0.0, -8.0, 8.0)
#: How far from the end of the axis marks are that lie beyond it.
_BEYOND = 18.0
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
    every = [dot.value for _, dots in rows for dot in dots]
    values = axes.together(every)
    logarithmic = axes.wide(values)
    make = axes.logarithmic if logarithmic else axes.linear
    axis = make(values, _LEFT + 8, _WIDTH - _RIGHT, base=base)
    bottom = _TOP + _ROW * len(rows)
    drawn = [_row(name, dots, axis, _TOP + _ROW * (place + 0.5)) for place, (name, dots) in enumerate(rows)]
    drawing = svg(
        _WIDTH, bottom + _BELOW, title, vertical_grid(axis, _TOP, bottom, format), tag("g", *drawn, class_="marks")
    )
    far = ["At the right edge, outlined: far beyond the axis."] if max(every, default=0) > axis.high else []
    return panel(f"{title}, log axis" if logarithmic else title, drawing, *notes, *far)


def shortened(name: str, room: int = _ROOM) -> str:
    """The end of a long name, which says more than its beginning."""
    return name if len(name) <= room else f"…{name[-room + 1 :]}"


def _row(name: str, dots: Sequence[Dot], axis: Axis, y: float) -> Markup:
    shown = sorted((dot for dot in dots if dot.value > 0 or not axis.logarithmic), key=lambda dot: dot.value)
    places = [axis(dot.value) if dot.value <= axis.high else axis.end + _BEYOND for dot in shown]
    span = [tag("line", x1=places[0], x2=places[-1], y1=y, y2=y, class_="span")] if places else []
    marks = (
        mark(dot.index, x, y + level, dot.title, "far" if dot.value > axis.high else "")
        for dot, x, level in zip(shown, places, _levels(places), strict=True)
    )
    return joined(label(_LEFT - 8, y + 4.5, shortened(name), "end"), *span, *marks)


def _levels(places: Sequence[float]) -> Iterator[float]:
    """How far from the middle each mark lies, for ascending places: where it covers the least of those before it."""
    ends = dict.fromkeys(_LEVELS, -math.inf)
    for x in places:
        free = [level for level, end in ends.items() if x - end >= _CLOSE]
        level = free[0] if free else min(ends, key=lambda each: ends[each])
        ends[level] = x
        yield level
