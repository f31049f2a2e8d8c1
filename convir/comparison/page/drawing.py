"""Parts that the plots share: the frame with its axes, and the mark of a lowering."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from convir.common.markup import Markup, joined, tag
from convir.comparison.colors import COLORS, DARK_COLORS
from convir.comparison.page.axis import Axis

#: Writes a value of an axis.
Format = Callable[[float], str]

#: Neighbours differ in shape as well as in colour; both repeat after 65 lowerings.
_SHAPES = (
    "M-4.5,0a4.5,4.5 0 1,0 9,0a4.5,4.5 0 1,0 -9,0z",
    "M-4,-4h8v8h-8z",
    "M0,-5.4L5.4,0L0,5.4L-5.4,0z",
    "M0,-5L5.2,4.2H-5.2z",
    "M0,5L-5.2,-4.2H5.2z",
)


def color_class(index: int) -> str:
    """The CSS class that has the colour of a lowering."""
    return f"c{index % len(COLORS)}"


def color_style() -> str:
    """CSS: the colours of the lowerings by class, on light and on dark."""

    def variables(colors: Iterable[str]) -> str:
        return "".join(f".c{index}{{--c:{color}}}" for index, color in enumerate(colors))

    return f"{variables(COLORS)}\n@media screen and (prefers-color-scheme: dark) {{ {variables(DARK_COLORS)} }}\n"


def sign(index: int, x: float, y: float) -> Markup:
    """A lowering's mark beside its name."""
    place = f"translate({x:g},{y:g})"
    return tag("path", d=_SHAPES[index % len(_SHAPES)], transform=place, class_=f"mark {color_class(index)}")


def mark(index: int, x: float, y: float, title: str, look: str = "") -> Markup:
    """A lowering's mark at a point, with what there is to say about it; ``look`` is a further class."""
    return tag(
        "path",
        d=_SHAPES[index % len(_SHAPES)],
        transform=f"translate({x:g},{y:g})",
        class_=f"mark {color_class(index)} {look}".rstrip(),
        data_s=str(index),
        data_t=title,
    )


def legend_mark(index: int) -> Markup:
    """The mark alone, for a line of text."""
    shape = tag("path", d=_SHAPES[index % len(_SHAPES)], class_=f"mark {color_class(index)}")
    return tag("svg", shape, viewBox="-7 -7 14 14", width="14", height="14", aria_hidden="true")


def svg(width: float, height: float, label: str, *content: str) -> Markup:
    """A drawing that shrinks with the page and is not enlarged."""
    return tag(
        "svg",
        *content,
        viewBox=f"0 0 {width:g} {height:g}",
        style=f"max-width:{width:g}px",
        role="group",
        aria_label=label,
        class_="plot",
    )


def panel(title: str, drawing: str, *notes: str, wide: bool = False) -> Markup:
    """A drawing with its title above and notes below."""
    said = [tag("p", note, class_="note") for note in notes]
    return tag(
        "figure", tag("figcaption", title), tag("div", drawing, class_="scroll"), *said, class_="wide" if wide else None
    )


def label(x: float, y: float, content: str, *classes: str) -> Markup:
    """Text at a point."""
    return tag("text", content, x=x, y=y, class_=" ".join(classes) or None)


def vertical_grid(axis: Axis, top: float, bottom: float, format: Format) -> Markup:
    """A line and a value below it for each tick of a horizontal axis."""
    return tag("g", *_vertical(axis, top, bottom, format), class_="grid")


def horizontal_grid(axis: Axis, left: float, right: float, format: Format) -> Markup:
    """A line and a value to its left for each tick of a vertical axis."""
    return tag("g", *_horizontal(axis, left, right, format), class_="grid")


def _vertical(axis: Axis, top: float, bottom: float, format: Format) -> Iterator[Markup]:
    for tick in axis.ticks:
        x = axis(tick)
        yield joined(tag("line", x1=x, x2=x, y1=top, y2=bottom), label(x, bottom + 15, format(tick), "middle"))


def _horizontal(axis: Axis, left: float, right: float, format: Format) -> Iterator[Markup]:
    for tick in axis.ticks:
        y = axis(tick)
        yield joined(tag("line", x1=left, x2=right, y1=y, y2=y), label(left - 6, y + 4, format(tick), "end"))
