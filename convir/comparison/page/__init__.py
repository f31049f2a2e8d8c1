"""A comparison as one page of HTML, which needs no network and no other file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from convir.common.files import require_writable, write_atomically
from convir.common.markup import Markup, joined, tag
from convir.common.page import document, resource
from convir.common.version import __version__
from convir.comparison.page.drawing import color_style, legend_mark
from convir.comparison.page.graphs import distinct, drawn_layers
from convir.comparison.page.plots import layer_plots, layer_roofline, whole_plots
from convir.comparison.page.summary import conventions, facts, refusals, verdict
from convir.comparison.page.sweeps import SweepPlots, sweep_section
from convir.comparison.page.tables import details_table, matrix, whole_table
from convir.comparison.page.view import View
from convir.comparison.report import Comparison
from convir.ir import UnsupportedError

__all__ = ["SweepPlots", "make_page", "require_page", "write_page"]

SUFFIXES = (".html", ".htm")


def write_page(comparison: Comparison, path: str | os.PathLike[str], sweeps: Sequence[SweepPlots] = ()) -> Path:
    """Write :func:`make_page` to the file ``path`` and return the path. It appears complete or not at all.

    Raises:
        UnsupportedError: another suffix than ``.html``, or no such folder.
        OSError: the folder is not writable.
    """
    target = require_page(path)
    return write_atomically(target, make_page(comparison, sweeps))


def require_page(path: str | os.PathLike[str]) -> Path:
    """``path``; raises what :func:`write_page` would, before there is anything to write."""
    target = Path(path)
    if target.suffix.lower() not in SUFFIXES:
        raise UnsupportedError(f"cannot write a page to {target.name!r}: the suffix must be {' or '.join(SUFFIXES)}")
    if not target.parent.is_dir():
        raise UnsupportedError(f"cannot write a page to {target}: there is no folder {target.parent}")
    require_writable(target)
    return target


def make_page(comparison: Comparison, sweeps: Sequence[SweepPlots] = ()) -> str:
    """The verdict, tables that sort, plots, and the graphs of the slowest layers under every lowering."""
    view = View(comparison)
    written = f"{datetime.now().astimezone():%Y-%m-%d %H:%M %Z}"
    sections = [
        _section("whole", "The whole net", whole_table(view), _plots(whole_plots(view))),
        *_layers(view),
        *_roofline(view),
        *_graphs(view),
        *(sweep_section(sweep, view.index) for sweep in sweeps),
        _section("every", "Every figure", details_table(view)),
        _section("meaning", "How the figures are meant", conventions(view)),
    ]
    header = tag(
        "header",
        tag("h1", f"Ways of computing {comparison.graph}"),
        tag("p", verdict(view), class_="verdict"),
        facts(view, written, __version__),
    )
    main = tag("main", *_legend(view), *sections)
    return document(
        title=f"{comparison.graph}: lowerings compared",
        body=joined(header, Markup("\n"), main),
        style=color_style() + resource(__name__, "page.css"),
        script=resource(__name__, "page.js"),
    )


def _section(name: str, title: str, *content: str) -> Markup:
    heading = f"{name}-title"
    return joined(
        tag("section", tag("h2", title, id_=heading), *content, id_=name, aria_labelledby=heading), Markup("\n")
    )


def _plots(drawn: Sequence[str]) -> Markup:
    return tag("div", *drawn, class_="plots")


def _legend(view: View) -> list[Markup]:
    """The lowerings with their marks; the script makes them buttons that pick one out of all plots."""
    items = [tag("li", legend_mark(index), " ", name, data_s=str(index)) for name, index in view.index.items()]
    return [tag("ul", *items, class_="legend", aria_label="lowerings")]


def _layers(view: View) -> list[Markup]:
    if not view.convolutions:
        return []
    how = tag(
        "p",
        "How many times the fastest lowering's time each one takes. The darker, the slower; ★ marks the fastest.",
        class_="note",
    )
    return [_section("layers", "Layer by layer", how, matrix(view), refusals(view), _plots(layer_plots(view)))]


def _roofline(view: View) -> list[Markup]:
    drawn = layer_roofline(view)
    return [] if drawn is None else [_section("roofline", "What bounds each layer", drawn)]


def _graphs(view: View) -> list[Markup]:
    layers = list(drawn_layers(view))
    if not layers:
        return []
    left = len(distinct(view)) - len(layers)
    note = "A layer by itself, as each lowering computes it. Dashed boxes were made by a pass, double ones are fused, "
    note += "pale ones move nothing; red with ∂: the backward."
    if left:
        note += f" The slowest of the distinct layers; {left} {'is' if left == 1 else 'are'} not drawn."
    panels = [tag("div", tag("h3", each.heading), each.strip, class_="layer") for each in layers]
    return [_section("graphs", "The same layer, lowered", tag("p", note, class_="note"), *panels)]
