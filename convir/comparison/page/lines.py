"""Lines: a figure of each lowering against what is swept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page import text
from convir.comparison.page.axis import Axis
from convir.comparison.page.drawing import Format, color_class, horizontal_grid, label, mark, panel, sign, svg

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 480.0, 340.0, 60.0, 108.0, 12.0, 290.0
#: Distance of two names at the ends of lines; room above the axis for what lies beyond it.
_LINE, _BEYOND = 13.0, 14.0


@dataclass(frozen=True)
class Line:
    """One lowering: its name, its index, its points (x, y), and those that were expected.

    Points of y 0 are left out of a logarithmic plot.
    """

    name: str
    index: int
    points: Sequence[tuple[float, float]]
    expected: Sequence[tuple[float, float]] = ()


def line_plot(title: str, x_label: str, lines: Sequence[Line], format: Format, *notes: str, base: int = 10) -> Markup:
    """A panel on logarithmic axes, a line for each lowering with its name at the end.

    Args:
        title: of the panel; says what y is.
        x_label: what x is.
        lines: see :class:`Line`.
        format: writes values of y.
        notes: below. Points that are far above all others are put at the upper edge, as is then said there, too.
        base: 2 for ticks of y at powers of 2.
    """
    shown = [each for each in map(_positive, lines) if each.points]
    values = sorted({x for each in shown for x, _ in each.points})
    across = axes.logarithmic(values, _LEFT + 6, _WIDTH - _RIGHT)
    near = axes.together(y for each in shown for _, y in each.points)
    foreseen = [y for each in shown for _, y in each.expected if near and y <= near[-1]]
    up = axes.logarithmic([*near, *foreseen], _BOTTOM, _TOP + _BEYOND, base=base, most=8)
    # The last ones lie beneath: those who choose run along with what they chose.
    drawn = [_line(each, across, up, x_label, format) for each in reversed(shown)]
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
    far = ["At the upper edge, outlined: far beyond the axis."] if any(_is_far(each, up) for each in shown) else []
    return panel(f"{title}, log axes", drawing, *notes, *far)


def _positive(line: Line) -> Line:
    points, expected = ([point for point in part if min(point) > 0] for part in (line.points, line.expected))
    return replace(line, points=points, expected=expected)


def _is_far(line: Line, up: Axis) -> bool:
    return any(y > up.high for _, y in line.points)


def _height(y: float, up: Axis) -> float:
    return up(y) if y <= up.high else _TOP


def _line(line: Line, across: Axis, up: Axis, x_label: str, format: Format) -> Markup:
    paths = [_path(line.points, across, up, "trend"), _path(line.expected, across, up, "trend expected")]
    marks = (
        mark(
            line.index,
            across(x),
            _height(y, up),
            f"{line.name}, {x_label} {x:g}: {format(y)}",
            "far" if y > up.high else "",
        )
        for x, y in line.points
    )
    return tag("g", *paths, *marks, class_=color_class(line.index), data_s=str(line.index))


def _path(points: Sequence[tuple[float, float]], across: Axis, up: Axis, look: str) -> Markup:
    places = " ".join(f"{across(x):g},{up(y):g}" for x, y in points if y <= up.high)
    return tag("polyline", points=places, class_=look) if places else Markup()


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
    ends = sorted((_height(line.points[-1][1], up), line.name, line.index) for line in lines)
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
