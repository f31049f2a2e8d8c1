"""The ratios as a picture: a panel a family of workloads, a bar an engine."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from convir.common.files import require_writable, write_atomically
from harness.engines import ENGINES
from harness.results import EngineResult, Results, WorkloadResult

FORMATS = ("png", "svg", "pdf")
#: Told apart by people who see few colours, too (Okabe and Ito); always the same engine the same colour.
_COLORS = dict(
    zip(
        (engine.name for engine in ENGINES),
        ("#222222", "#009e73", "#8c8c8c", "#f0e442", "#e69f00", "#d55e00", "#0072b2", "#cc79a7"),
        strict=True,
    )
)
_TITLES = {engine.name: engine.title for engine in ENGINES}
_INK, _FAINT, _DPI = "#222222", "#dddddd", 160
#: Inches: across, title and legend, a row of panels, footnote. And the most workloads beside each other.
_WIDTH, _HEAD, _PANEL, _FOOT, _GROUPS = 12, 0.75, 3.2, 0.5, 6
_BAR = 0.84  # of the distance between two workloads, shared by the engines


def require_plottable(path: Path) -> str:
    """The format of the file, before anything is measured.

    Raises:
        ValueError: another suffix, or no matplotlib.
        OSError: the folder does not exist or is not writable.
    """
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        raise ValueError(f"cannot plot to {path.name!r}: the suffix must be one of .{', .'.join(FORMATS)}")
    if find_spec("matplotlib") is None:
        raise ValueError("plotting needs matplotlib: pip install -e '.[plot]'")
    require_writable(path)
    return suffix


def plot(results: Results, path: Path) -> Path:
    """Draw to ``path``, PNG, SVG or PDF by its suffix; the file appears complete or not at all."""
    suffix = require_plottable(path)
    content = io.BytesIO()
    _figure(results).savefig(content, format=suffix, dpi=_DPI)
    return write_atomically(path, content.getvalue())


def _figure(results: Results) -> Any:
    from matplotlib.figure import Figure

    engines = [name for name in _COLORS if name != results.baseline and _is_measured(results, name)]
    rows = _rows(results)
    heights = [_HEAD, *[_PANEL] * len(rows), _FOOT]
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained", facecolor="white")
    head, *parts, foot = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
    _head(head, results, engines)
    for part, row in zip(parts, rows, strict=True):
        sizes = [len(workloads) for workloads in row.values()]
        panels = part.subplots(1, len(row), sharey=True, squeeze=False, width_ratios=sizes)[0]
        for axes, (family, workloads) in zip(panels, row.items(), strict=True):
            _panel(axes, family, workloads, engines)
        _scale(panels, results)
    foot.text(0.01, 0.5, _footnote(results), va="center", fontsize=7.5, color="#666666")
    if results.warning:
        foot.text(0.99, 0.5, results.warning, va="center", ha="right", color="#b00020", fontsize=8)
    return figure


def _head(head: Any, results: Results, engines: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    baseline = _TITLES[results.baseline]
    title = f"Time of a call over that of {baseline}, {results.threads} threads each: above 1 x, {baseline} is faster"
    head.text(0.01, 0.78, title, va="center", color=_INK, weight="bold", fontsize=12)
    handles = [Patch(color=_COLORS[name], label=_TITLES[name]) for name in engines]
    place = {"loc": "center left", "bbox_to_anchor": (0.004, 0.28), "ncols": max(len(engines), 1)}
    head.legend(handles=handles, **place, frameon=False, labelcolor=_INK, handlelength=1.2)


def _rows(results: Results) -> list[dict[str, list[WorkloadResult]]]:
    """Families of workloads, as many beside each other as have room."""
    families: dict[str, list[WorkloadResult]] = {}
    for workload in results.workloads:
        families.setdefault(workload.family, []).append(workload)
    rows: list[dict[str, list[WorkloadResult]]] = [{}]
    for family, workloads in families.items():
        if rows[-1] and sum(map(len, rows[-1].values())) + len(workloads) > _GROUPS:
            rows.append({})
        rows[-1][family] = workloads
    return rows


def _is_measured(results: Results, name: str) -> bool:
    return any(engine.engine == name and engine.seconds for w in results.workloads for engine in w.engines)


def _panel(axes: Any, family: str, workloads: Sequence[WorkloadResult], engines: Sequence[str]) -> None:
    width = _BAR / max(len(engines), 1)
    for place, workload in enumerate(workloads):
        found = {engine.engine: engine for engine in workload.engines}
        for index, name in enumerate(engines):
            _bar(axes, workload, found[name], place - _BAR / 2 + width * (index + 0.5), width)
    axes.axhline(1, color=_INK, linewidth=1.2, zorder=3)
    axes.set_title(family, loc="left", fontsize=10, color=_INK)
    axes.set_xticks(range(len(workloads)), [_label(workload) for workload in workloads], fontsize=9)
    axes.set_xlim(-0.5, len(workloads) - 0.5)
    axes.tick_params(length=0, colors=_INK)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _label(workload: WorkloadResult) -> str:
    return f"{'training' if workload.training else 'inference'}\nbatch {workload.batch}"


def _bar(axes: Any, workload: WorkloadResult, engine: EngineResult, x: float, width: float) -> None:
    ratio = workload.ratio(engine)
    if ratio is None:
        axes.annotate("n/a", (x, 1), (0, 3), textcoords="offset points", ha="center", fontsize=7, color="#888888")
        return
    low, middle, high = ratio
    # From 1: a bar that goes down is faster than convir.
    axes.bar(x, middle - 1, width * 0.9, bottom=1, color=_COLORS[engine.engine], zorder=2)
    axes.errorbar(x, middle, [[middle - low], [high - middle]], color=_INK, linewidth=1, capsize=2, zorder=4)
    above = middle >= 1
    place = (x, high if above else low)
    offset, side = ((0, 3), "bottom") if above else ((0, -3), "top")
    text = f"{middle:.2f}" if middle < 9.95 else f"{middle:.0f}"
    style = {"textcoords": "offset points", "ha": "center", "va": side, "fontsize": 7.5, "color": _INK}
    # On white, so that no line of the grid runs through the number.
    axes.annotate(text, place, offset, **style, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6}, zorder=3)


def _scale(panels: Sequence[Any], results: Results) -> None:
    """A logarithmic axis that is as wide as the ratios: twice as fast and twice as slow are equally far from 1."""
    found = [w.ratio(engine) for w in results.workloads for engine in w.engines]
    ends = [value for ratio in found if ratio is not None for value in ratio] or [1.0]
    ticks = [2.0**power for power in range(-6, 12)]
    axes = panels[0]
    axes.set_yscale("log")
    low, high = min(*ends, 0.7), max(*ends, 1.5)
    room = (high / low) ** 0.1  # for the numbers beyond the whiskers
    low, high = low / room, high * room
    axes.set_ylim(low, high)
    shown = [tick for tick in ticks if low <= tick <= high]
    axes.set_yticks(shown, [f"{tick:g} x" if tick >= 1 else f"1/{1 / tick:g} x" for tick in shown])
    axes.set_yticks([], minor=True)
    for panel in panels:
        panel.grid(axis="y", color=_FAINT, linewidth=0.8, zorder=0)
        panel.set_axisbelow(True)


def _footnote(results: Results) -> str:
    machine, versions = results.machine, results.versions
    names = ", ".join(f"{name} {versions[name]}" for name in sorted(versions))
    return (
        f"Bars: median over {results.rounds} rounds of engine / convir, round by round; whiskers: quartiles; "
        f"logarithmic; n/a: not measured.\n{machine['cpu']}, {machine['date'][:10]}; {names}."
    )
