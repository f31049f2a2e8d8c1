"""The roofline: what each layer does a second under each lowering, below what the machine can do.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52 (2009): at an intensity of ``i`` operations a byte, a machine that moves ``b`` bytes a
second and does ``p`` operations a second attains ``min(p, i b)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from convir.common.markup import Markup, joined, tag
from convir.comparison.page import axis as axes
from convir.comparison.page import text
from convir.comparison.page.axis import Axis
from convir.comparison.page.dots import shortened
from convir.comparison.page.drawing import horizontal_grid, label, mark, panel, svg, vertical_grid
from convir.comparison.page.labels import Labels
from convir.comparison.report import Roofline

#: Length of a slope that text may stand along.
_ROOM = 160.0

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 1160.0, 480.0, 52.0, 16.0, 12.0, 430.0
#: Ordinates are 10^9 operations a second.
_GIGA = 1e9


@dataclass(frozen=True)
class Point:
    """A layer under a lowering.

    Attributes:
        index: of the lowering.
        intensity: operations a byte moved.
        rate: operations a second.
        title: all there is to say.
        name: written beside it; empty for points that only the pointer names.
    """

    index: int
    intensity: float
    rate: float
    title: str
    name: str = ""


def roofline_plot(points: Sequence[Point], ceilings: Roofline | None, *notes: str) -> Markup:
    """A panel: points by intensity and rate on logarithmic axes, the ceilings above where they are known."""
    across = axes.logarithmic(_intensities(points, ceilings), _LEFT, _WIDTH - _RIGHT, most=12)
    up = axes.logarithmic(_rates(points, ceilings), _BOTTOM, _TOP, most=12)
    labels = Labels(_WIDTH - _RIGHT, _TOP, _BOTTOM)
    for point in points:
        labels.block(_place(point, across, up))
    roofs = _roofs(ceilings, across, up, labels) if ceilings else []
    below = [point.rate / _GIGA < up.low for point in points]
    marks = [
        mark(point.index, *_place(point, across, up), point.title, "far" if far else "")
        for point, far in zip(points, below, strict=True)
    ]
    slow = ["At the lower edge, outlined: far slower than the axis shows."] if any(below) else []
    names = [labels.beside(_place(point, across, up), shortened(point.name)) for point in points if point.name]
    drawing = svg(
        _WIDTH,
        _HEIGHT,
        "Roofline",
        vertical_grid(across, _TOP, _BOTTOM, text.three_digits),
        horizontal_grid(up, _LEFT, _WIDTH - _RIGHT, text.three_digits),
        label(_WIDTH - _RIGHT, _HEIGHT - 6, "operations a byte moved", "end", "soft"),
        *roofs,
        tag("g", *marks, class_="marks"),
        tag("g", *names, class_="names"),
    )
    return panel("GFLOP/s by operations a byte moved, log axes", drawing, *notes, *slow, wide=True)


def _place(point: Point, across: Axis, up: Axis) -> tuple[float, float]:
    return across(point.intensity), up(point.rate / _GIGA)


def _intensities(points: Sequence[Point], ceilings: Roofline | None) -> list[float]:
    ridges = [ceilings.gflops / ceilings.gbytes, ceilings.gflops / ceilings.cached_gbytes] if ceilings else []
    return [*(point.intensity for point in points), *ridges]


def _rates(points: Sequence[Point], ceilings: Roofline | None) -> list[float]:
    """What the axis has room for: not what is far slower than everything else."""
    slowness = axes.together(_GIGA / point.rate for point in points)
    return [*(1 / each for each in slowness), *([ceilings.gflops] if ceilings else [])]


def _roofs(ceilings: Roofline, across: Axis, up: Axis, labels: Labels) -> list[Markup]:
    """The flat roof, and the slopes under it: of memory, and of the caches."""
    slopes = (("memory", ceilings.gbytes, "roof"), ("caches", ceilings.cached_gbytes, "roof cached"))
    flat = up(ceilings.gflops)
    start = min(across(ceilings.gflops / rate) for _, rate, _ in slopes)
    drawn = [tag("line", x1=start, x2=across.end, y1=flat, y2=flat, class_="roof")]
    labels.line((start, flat), (across.end, flat))
    said = [labels.above(across.end, flat, f"best matrix product: {text.three_digits(ceilings.gflops)} GFLOP/s", "end")]
    for name, rate, look in slopes:
        low = max(across.low, up.low / rate)
        ridge = min(ceilings.gflops / rate, across.high)
        if low >= ridge:
            continue
        foot, top = (across(low), up(low * rate)), (across(ridge), up(ridge * rate))
        labels.line(foot, top)
        drawn.append(tag("line", x1=foot[0], y1=foot[1], x2=top[0], y2=top[1], class_=look))
        content = f"{name}: {text.three_digits(rate)} GB/s"
        # Text along a slope that is shorter would leave the drawing.
        said.append(_along(foot, top, content) if math.dist(foot, top) > _ROOM else _beside(top, content))
    return [tag("g", *drawn), tag("g", *said, class_="names")]


def _along(foot: tuple[float, float], top: tuple[float, float], content: str) -> Markup:
    """Text above a slope, along it, near its foot."""
    angle = math.degrees(math.atan2(top[1] - foot[1], top[0] - foot[0]))
    at = f"translate({foot[0]:g},{foot[1]:g}) rotate({angle:.1f}) translate(14,-6)"
    return joined(tag("text", content, transform=at, class_="soft"))


def _beside(top: tuple[float, float], content: str) -> Markup:
    """Text under the flat roof, where a slope meets it."""
    return label(top[0] + 4, top[1] + 15, content, "soft")
