"""Bars: one figure of each lowering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page.axis import Axis
from convir.comparison.page.drawing import Format, color_class, label, panel, svg, vertical_grid

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _BELOW = 460.0, 116.0, 104.0, 24.0, 6.0, 24.0

#: How far the arrow at the end of a bar that is cut goes beyond the axis.
_ARROW = 7.0


@dataclass(frozen=True)
class Bar:
    """What is drawn of one lowering.

    Attributes:
        name: written to the left.
        index: of the lowering; decides the colour.
        value: the length; None where it is not known.
        note: written to the right.
        title: all there is to say.
        quartiles: ends of the whisker.
        predicted: where the diamond is.
        pale: length of the pale bar behind.
        outlined: drawn as an outline: not measured itself.
    """

    name: str
    index: int
    value: float | None
    note: str
    title: str
    quartiles: tuple[float, float] | None = None
    predicted: float | None = None
    pale: float | None = None
    outlined: bool = False

    @property
    def figures(self) -> list[float]:
        """All that must have room on the axis."""
        given = (self.value, *(self.quartiles or ()), self.predicted, self.pale)
        return [figure for figure in given if figure is not None]


def bar_plot(
    title: str, bars: Sequence[Bar], format: Format, *notes: str, base: int = 10, logarithmic: bool | None = None
) -> Markup:
    """A panel of horizontal bars, from 0, or on a logarithmic axis where values differ much.

    Args:
        title: of the panel, without the word on the kind of axis.
        bars: from top to bottom.
        format: writes ticks.
        notes: below. Bars that are far longer than all others are cut, as is then said there, too.
        base: 2 for ticks at powers of 2.
        logarithmic: whether the axis is; None where the figures decide.
    """
    figures = axes.together(figure for bar in bars for figure in bar.figures)
    logarithmic = axes.wide(figures) if logarithmic is None else logarithmic
    make = axes.logarithmic if logarithmic else axes.linear
    axis = make(figures, _LEFT, _WIDTH - _RIGHT, base=base)
    bottom = _TOP + _ROW * len(bars)
    drawn = (_bar(bar, axis, _TOP + _ROW * (place + 0.5)) for place, bar in enumerate(bars))
    drawing = svg(
        _WIDTH,
        bottom + _BELOW,
        title,
        vertical_grid(axis, _TOP, bottom, format),
        tag("g", *drawn, class_="marks"),
    )
    cut = ["An arrow: the bar is cut, it is far longer."] if any(_is_cut(bar, axis) for bar in bars) else []
    return panel(f"{title}, log axis" if logarithmic else title, drawing, *notes, *cut)


def _bar(bar: Bar, axis: Axis, y: float) -> Markup:
    return tag(
        "g",
        *_parts(bar, axis, y),
        class_=f"bar {color_class(bar.index)}{' outlined' if bar.outlined else ''}",
        data_s=str(bar.index),
        data_t=bar.title,
    )


def _parts(bar: Bar, axis: Axis, y: float) -> Iterator[Markup]:
    # All of the row is sensitive to the pointer.
    yield tag("rect", x=0, y=y - _ROW / 2, width=_WIDTH, height=_ROW, class_="row")
    yield label(_LEFT - 8, y + 4.5, bar.name, "end")
    if bar.pale:
        yield _length(axis, bar.pale, y, "pale")
    if bar.value:
        yield _length(axis, bar.value, y, "full")
    if bar.quartiles:
        low, high = axis(bar.quartiles[0]), axis(bar.quartiles[1])
        path = f"M{low},{y}H{high}M{low},{y - 4}v8M{high},{y - 4}v8"
        # A bar may have the whisker's own colour.
        yield joined(tag("path", d=path, class_="whisker halo"), tag("path", d=path, class_="whisker"))
    if bar.predicted:
        yield tag(
            "path", d="M0,-5L5,0L0,5L-5,0z", transform=f"translate({axis(bar.predicted)},{y})", class_="predicted"
        )
    end = max((axis(figure) for figure in bar.figures), default=_LEFT)
    if _is_cut(bar, axis):
        end += _ARROW
        yield tag("path", d=f"M{axis.end},{y - 8}l{_ARROW},8l-{_ARROW},8z", class_="full")
    yield label(end + 11, y + 4.5, bar.note, "figure")


def _is_cut(bar: Bar, axis: Axis) -> bool:
    return bar.value is not None and bar.value > axis.high * (1 + 1e-9)


def _length(axis: Axis, value: float, y: float, name: str) -> Markup:
    width = round(axis(value) - axis.start, 1)
    return joined(tag("rect", x=axis.start, y=y - 8, width=max(width, 1.0), height=16, rx=2, class_=name))
