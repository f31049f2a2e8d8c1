"""A comparison as a picture: time, memory and error, layer by layer."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convir.common.files import require_writable, write_atomically
from convir.common.table import format_bytes, format_seconds
from convir.comparison.colors import COLORS
from convir.comparison.report import WHOLE, Comparison, ComparisonRow
from convir.comparison.verdict import ratio
from convir.comparison.words import phase, tick
from convir.ir import UnsupportedError

FORMATS = ("svg", "png", "pdf")

_INK, _FAINT = "#222222", "#dddddd"
_DPI = 144
#: Name, colour and rows of a lowering, where on the vertical axis its bars are, and how thick.
_Series = tuple[str, str, Sequence[ComparisonRow], list[float], float]
_BAR = 0.8  # of the distance between two layers, shared by the lowerings


def plot(comparison: Comparison, path: str | os.PathLike[str]) -> Path:
    """Draw ``comparison`` to the file ``path``, as SVG, PNG or PDF by its suffix, and return the path.

    Times are medians on a logarithmic axis with their quartiles, hatched where they were extrapolated; memory is the
    arena in use while a layer runs, with its scratch filled in. Of the layers only convolutions are shown: the others
    run the same kernels under every lowering. The file appears complete or not at all.

    Raises:
        UnsupportedError: matplotlib is not installed, another suffix, or no such folder.
        OSError: the folder is not writable.
    """
    target, suffix = Path(path), require_plottable(path)
    data = io.BytesIO()
    shown = tuple(row for row in comparison.rows if row.is_convolution or row.layer is None)
    _figure(replace(comparison, rows=shown)).savefig(data, format=suffix, dpi=_DPI)
    return write_atomically(target, data.getvalue())


def require_plottable(path: str | os.PathLike[str]) -> str:
    """The format of the file ``path``; raises what :func:`plot` would, before there is anything to draw."""
    target = Path(path)
    suffix = target.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UnsupportedError(f"cannot plot to {target.name!r}: the suffix must be one of {known}")
    if not target.parent.is_dir():
        raise UnsupportedError(f"cannot plot to {target}: there is no folder {target.parent}")
    if find_spec("matplotlib") is None:
        raise UnsupportedError("plotting needs matplotlib: pip install 'convir[plot]'")
    require_writable(target)
    return suffix


def _figure(comparison: Comparison) -> Any:
    from matplotlib.figure import Figure

    layers = list(dict.fromkeys(row.layer for row in comparison.rows))
    bars = len(comparison.rows)
    figure = Figure(figsize=(13, 1.9 + 0.2 * bars + 0.12 * len(layers)), layout="constrained", facecolor="white")
    time, memory, error = figure.subplots(1, 3, sharey=True, width_ratios=(1.3, 1, 0.9))
    _time(time, comparison)
    _memory(memory, comparison)
    _error(error, comparison)
    time.set_yticks(range(len(layers)), [WHOLE if layer is None else layer for layer in layers])
    time.set_ylim(len(layers) - 0.45, -0.55)
    inputs = ", ".join(f"{name}: {type}" for name, type in comparison.inputs)
    figure.suptitle(
        f"{comparison.graph}({inputs}), {phase(comparison)}", color=_INK, fontweight="bold", x=0.01, ha="left"
    )
    handles, labels = time.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    return figure


def _time(axes: Any, comparison: Comparison) -> None:
    axes.set_xscale("log")
    _dress(axes, "time, median and quartiles", lambda value: tick(format_seconds(value)))
    for lowering, color, rows, places, height in _series(comparison):
        # A layer that took no time (a view) has no place on a logarithmic axis.
        medians = [row.seconds or float("nan") for row in rows]
        below = [row.seconds - row.seconds_lower for row in rows]
        above = [row.seconds_upper - row.seconds for row in rows]
        bars = axes.barh(places, medians, height, color=color, label=lowering)
        for bar, row in zip(bars, rows, strict=True):
            # What was not timed whole.
            bar.set_hatch("///" if row.extrapolated_from is not None else None)
        axes.errorbar(medians, places, xerr=(below, above), fmt="none", ecolor=_INK, elinewidth=0.9, capsize=2)
        for place, row in zip(places, rows, strict=True):
            axes.text(row.seconds_upper * 1.15, place, _ratio(row), va="center", fontsize=7.5, color=_INK)
    times = [row.seconds for row in comparison.rows if row.seconds]
    axes.set_xlim(10.0 ** math.floor(math.log10(min(times))), 4 * max(row.seconds_upper for row in comparison.rows))


def _memory(axes: Any, comparison: Comparison) -> None:
    _dress(axes, "arena in use (pale), scratch (full)", lambda value: tick(format_bytes(int(value))))
    for _, color, rows, places, height in _series(comparison):
        axes.barh(places, [row.peak_bytes for row in rows], height, color=color, alpha=0.3)
        axes.barh(places, [row.scratch_bytes for row in rows], height, color=color)
    axes.set_xlim(left=0)
    _binary_ticks(axes)


def _error(axes: Any, comparison: Comparison) -> None:
    errors = [row.error for row in comparison.rows if row.error]
    if not errors:
        axes.text(0.5, 0.5, "no difference", transform=axes.transAxes, ha="center", color=_INK)
        axes.set_xticks([])
    else:
        # Whole decades, so that bars of nearly equal errors look nearly equal.
        axes.set_xscale("log")
        axes.set_xlim(10.0 ** (math.floor(math.log10(min(errors))) - 1), 10.0 ** math.ceil(math.log10(max(errors))))
    _dress(axes, f"relative error, against {comparison.reference}", lambda value: f"{value:.0e}" if value else "0")
    for _, color, rows, places, height in _series(comparison):
        axes.barh(places, [row.error or float("nan") for row in rows], height, color=color)


def _series(comparison: Comparison) -> list[_Series]:
    """What to draw of each lowering, in order."""
    series: list[_Series] = []
    names = comparison.lowerings
    height = _BAR / len(names)
    for index, name in enumerate(names):
        rows = [row for row in comparison.rows if row.lowering == name]
        shift = (index - (len(names) - 1) / 2) * height
        places = [place + shift for place in range(len(rows))]
        series.append((name, COLORS[index % len(COLORS)], rows, places, height * 0.92))
    return series


def _dress(axes: Any, title: str, ticks: Callable[[float], str]) -> None:
    """A plain panel: its title above, a faint grid behind, readable ticks."""
    axes.set_title(title, loc="left", fontsize=10, color=_INK)
    axes.set_axisbelow(True)
    axes.grid(axis="x", color=_FAINT, linewidth=0.8)
    axes.tick_params(which="both", colors=_INK, length=0)
    for side in ("top", "right", "bottom", "left"):
        axes.spines[side].set_visible(False)
    axes.xaxis.set_major_formatter(lambda value, _: ticks(float(value)))
    axes.xaxis.set_minor_formatter(lambda value, _: "")


def _binary_ticks(axes: Any) -> None:
    """About four ticks at round numbers of bytes."""
    from matplotlib.ticker import MultipleLocator

    top = axes.get_xlim()[1]
    axes.xaxis.set_major_locator(MultipleLocator(2 ** max(math.floor(math.log2(top / 3)), 0)))


def _ratio(row: ComparisonRow) -> str:
    """The ratio to the best, ``~`` where a time was extrapolated."""
    return "" if row.ratio == 1 else ratio(row)
