"""Lines: a figure of each lowering against what is swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page import text
from convir.comparison.page.axis import Axis
from convir.comparison.page.drawing import Format, color_class, horizontal_grid, label, mark, panel, sign, svg

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 560.0, 360.0, 64.0, 116.0, 12.0, 308.0
#: Distance of two names at the ends of lines.
_LINE = 13.0


@dataclass(frozen=True)
class Line:
    """One lowering: its name, its index, and its points (x, y); points of y 0 are left out of a logarithmic plot."""

    name: str
    index: int
    points: Sequence[tuple[float, float]]


def line_plot(title: str, x_label: str, lines: Sequence[Line], format: Format, *notes: str, base: int = 10) -> Markup:
    """A panel on logarithmic axes, a line for each lowering with its name at the end.

    Args:
        title: of the panel; says what y is.
        x_label: what x is.
        lines: see :class:`Line`.
        format: writes values of y.
        notes: below.
        base: 2 for ticks of y at powers of 2.
    """
    shown = [Line(each.name, each.index, [p for p in each.points if min(p) > 0]) for each in lines]
    shown = [each for each in shown if each.points]
    values = sorted({x for each in shown for x, _ in each.points})
    across = axes.logarithmic(values, _LEFT + 6, _WIDTH - _RIGHT)
    up = axes.logarithmic([y for each in shown for _, y in each.points], _BOTTOM, _TOP, base=base, most=8)
    drawn = [_line(each, across, up, x_label, format) for each in shown]
    drawing = svg(
        _WIDTH,
        _HEIGHT,
        title,
        horizontal_grid(up, _LEFT, _WIDTH - _RIGHT + 6, format),
        _values(values, across),
        label((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 8, x_label, "middle", "soft"),
        tag("g", *drawn, class_="marks"),
        tag("g", *_names(shown, up), class_="names"),
    )
    return panel(f"{title}, log axes", drawing, *notes)


def _line(line: Line, across: Axis, up: Axis, x_label: str, format: Format) -> Markup:
    places = [(across(x), up(y)) for x, y in line.points]
    path = tag("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in places), class_="trend")
    titles = (f"{line.name}, {x_label} {x:g}: {format(y)}" for x, y in line.points)
    marks = (mark(line.index, *place, title) for place, title in zip(places, titles, strict=True))
    return tag("g", path, *marks, class_=color_class(line.index), data_s=str(line.index))


def _values(values: Sequence[float], across: Axis) -> Markup:
    """The values that were swept, as far as there is room to write them."""
    written: list[Markup] = []
    end = 0.0
    for value in values:
        content, x = text.three_digits(value), across(value)
        width = 7.0 * len(content)
        if x - width / 2 > end + 4:
            written.append(joined(label(x, _BOTTOM + 18, content, "middle")))
            end = x + width / 2
    return tag("g", *written, class_="grid")


def _names(lines: Sequence[Line], up: Axis) -> list[Markup]:
    """Names at the right, in the order of the lines' ends, pushed apart where they would overlap."""
    ends = sorted((up(line.points[-1][1]), line.name, line.index) for line in lines)
    places: list[float] = []
    for y, _, _ in ends:
        places.append(max(y, places[-1] + _LINE) if places else y)
    # What was pushed below the frame is pushed back up, the others with it.
    for place in range(len(places) - 1, -1, -1):
        limit = places[place + 1] - _LINE if place + 1 < len(places) else _BOTTOM
        places[place] = min(places[place], limit)
    x = _WIDTH - _RIGHT + 20
    return [
        tag("g", sign(index, x, y), label(x + 9, round(y + 4, 1), name), data_s=str(index))
        for y, (_, name, index) in zip(places, ends, strict=True)
    ]
