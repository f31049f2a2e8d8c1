"""The page's plots: a comparison's rows as bars, dots and points."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convir.common.markup import Markup
from convir.comparison.page import text
from convir.comparison.page.bars import Bar, bar_plot
from convir.comparison.page.dots import Dot, dot_plot
from convir.comparison.page.roofline import Point, roofline_plot
from convir.comparison.page.view import REPLACED, View, time_of
from convir.comparison.report import ComparisonRow
from convir.comparison.words import tick


def _seconds(value: float) -> str:
    return tick(text.seconds(value))


def _bytes(value: float) -> str:
    return tick(text.size(value))


def _decade(value: float) -> str:
    return f"{value:.0e}"


def whole_plots(view: View) -> list[Markup]:
    """Time, memory and error of the whole net."""
    rows = view.layers[None]
    predicted = any(row.predicted_seconds is not None for row in rows)
    extrapolated = any(row.extrapolated_from is not None for row in rows)
    notes = [
        "Bars: median. Whiskers: quartiles." + (" Diamonds: predicted." if predicted else ""),
        *(["Outlined: extrapolated."] if extrapolated else []),
    ]
    time = bar_plot(f"Time of {_the(view)}", [_time(view, row) for row in rows], _seconds, *notes)
    memory = bar_plot(
        f"Memory of {_the(view)}",
        [_memory(view, row) for row in rows],
        _bytes,
        "Full: scratch, at most. Pale: the whole arena.",
        base=2,
        logarithmic=False,
    )
    if not any(row.error for row in rows):
        return [time, memory]
    against = f"Largest difference from the {view.comparison.reference}, over its largest element."
    return [time, memory, bar_plot("Error", [_error(view, row) for row in rows], _decade, against, logarithmic=True)]


def layer_plots(view: View) -> list[Markup]:
    """Time, scratch and error of each convolution, under the lowerings that compute it themselves."""
    if not view.convolutions:
        return []
    time = dot_plot("Time by layer", _dots(view, lambda row: row.seconds, view.title), _seconds)
    scratch = dot_plot(
        "Scratch by layer",
        _dots(view, lambda row: row.scratch_bytes, _with(text.size, "scratch_bytes")),
        _bytes,
        base=2,
    )
    error = dot_plot("Error by layer", _dots(view, lambda row: row.error, _with(text.error, "error")), _decade)
    return [time, scratch, error]


def layer_roofline(view: View) -> Markup | None:
    """Each convolution under each lowering; None where bytes moved are not known."""
    points = [point for layer in view.convolutions for point in _points(view, view.distinct(layer))]
    if not points:
        return None
    ceilings = view.comparison.roofline
    named = "" if view.comparison.layer else "Named: the fastest lowering of each layer. "
    said = f"{named}Operations and bytes are those of the lowered ops."
    unknown = [] if ceilings else ["The machine's ceilings were not measured."]
    return roofline_plot(points, ceilings, said, *unknown)


def _the(view: View) -> str:
    return view.whole if view.comparison.layer else f"the {view.whole}"


def _name(view: View, row: ComparisonRow) -> str:
    return f"{row.lowering}{REPLACED if row.lowering in view.replaced else ''}"


def _time(view: View, row: ComparisonRow) -> Bar:
    best = row.ratio == 1
    return Bar(
        _name(view, row),
        view.index[row.lowering],
        row.seconds,
        f"{time_of(row)}{' ★' if best else ''}",
        view.title(row),
        quartiles=(row.seconds_lower, row.seconds_upper) if row.runs > 1 else None,
        predicted=row.predicted_seconds,
        outlined=row.extrapolated_from is not None,
    )


def _memory(view: View, row: ComparisonRow) -> Bar:
    scratch, peak = text.size(row.scratch_bytes), text.size(row.peak_bytes)
    largest = ", ".join(f"{op} {text.size(size)}" for op, size in row.scratch.items())
    title = f"{row.lowering}: peak {peak}, scratch {scratch}{largest and f' ({largest})'}"
    return Bar(_name(view, row), view.index[row.lowering], row.scratch_bytes, peak, title, pale=row.peak_bytes)


def _error(view: View, row: ComparisonRow) -> Bar:
    said = text.UNKNOWN if row.error is None else text.error(row.error)
    return Bar(_name(view, row), view.index[row.lowering], row.error, said, f"{row.lowering}: relative error {said}")


_Value = Callable[[ComparisonRow], float | None]


def _dots(view: View, value: _Value, title: Callable[[ComparisonRow], str]) -> list[tuple[str, Sequence[Dot]]]:
    rows: list[tuple[str, Sequence[Dot]]] = []
    for layer in view.convolutions:
        known = [(row, value(row)) for row in view.own(layer)]
        rows.append((layer, [Dot(view.index[row.lowering], v, title(row)) for row, v in known if v is not None]))
    return rows


def _with(write: Callable[[float], str], field: str) -> Callable[[ComparisonRow], str]:
    name = field.removesuffix("_bytes")
    return lambda row: f"{row.layer}, {row.lowering}: {name} {write(getattr(row, field))}"


def _points(view: View, rows: Sequence[ComparisonRow]) -> list[Point]:
    points = []
    fastest = min((row.seconds for row in rows), default=0.0)
    for row in rows:
        if not (row.intensity and row.bytes_moved and row.seconds):
            continue
        rate = row.intensity * row.bytes_moved / row.seconds
        said = f"{text.three_digits(rate / 1e9)} GFLOP/s at {text.three_digits(row.intensity)} operations a byte"
        name = row.lowering if view.comparison.layer else row.layer or "" if row.seconds == fastest else ""
        points.append(Point(view.index[row.lowering], row.intensity, rate, f"{view.title(row)}; {said}", name))
    return points
