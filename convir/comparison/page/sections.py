"""The sections of the page, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convir.common.markup import Markup, joined, tag
from convir.comparison.page.graphs import distinct, drawn_layers
from convir.comparison.page.plots import layer_plots, layer_roofline, whole_plots
from convir.comparison.page.summary import absences, conventions, refusals, sweep_conventions
from convir.comparison.page.sweeps import points_table, sweep_matrix, sweep_plots
from convir.comparison.page.tables import details_table, matrix, whole_table
from convir.comparison.page.text import capitalised
from convir.comparison.page.view import View
from convir.comparison.table import choices, left_out

if TYPE_CHECKING:
    from convir.comparison.sweep_report import Sweep


def comparison_sections(view: View) -> list[Markup]:
    """Of a comparison; one layer by itself is a net of one layer, and is not shown twice."""
    # Beside the figures there is no room for what is to be said of them.
    remarks = [f"{row.lowering}: {'; '.join(view.remarks(row))}." for row in view.layers[None] if view.remarks(row)]
    said = [*remarks, *choices(view.comparison), *left_out(view.comparison)]
    return [
        _section("whole", capitalised(view.whole), whole_table(view), absences(said), plots(whole_plots(view))),
        *([] if view.comparison.layer else _layers(view)),
        *_roofline(view),
        *_graphs(view),
        *([] if view.comparison.layer else [_section("every", "Every figure", details_table(view))]),
        _section("meaning", "How the figures are meant", conventions(view)),
    ]


def sweep_sections(sweep: Sweep) -> list[Markup]:
    """Of a sweep, without the value that is shown in full."""
    how = "The darker, the slower beside the fastest of its column; ★ marks that one, and those about equal to it."
    return [
        _section("sweep", f"By {sweep.over}", plots(sweep_plots(sweep))),
        _section("times", f"Time by {sweep.over}", _note(how), sweep_matrix(sweep), absences(sweep.absences())),
        _section("points", "Every point", points_table(sweep), sweep_conventions(sweep)),
    ]


def _section(name: str, title: str, *content: str) -> Markup:
    heading = f"{name}-title"
    return joined(
        tag("section", tag("h2", title, id_=heading), *content, id_=name, aria_labelledby=heading), Markup("\n")
    )


def plots(drawn: Sequence[str]) -> Markup:
    """Plots beside each other, as many as there is room for."""
    return tag("div", *drawn, class_="plots")


def _note(text: str) -> Markup:
    return tag("p", text, class_="note")


def _layers(view: View) -> list[Markup]:
    if not view.convolutions:
        return []
    how = _note(
        "How many times the fastest lowering's time each one takes. The darker, the slower; ★ marks the fastest."
    )
    return [_section("layers", "Layer by layer", how, matrix(view), refusals(view), plots(layer_plots(view)))]


def _roofline(view: View) -> list[Markup]:
    drawn = layer_roofline(view)
    title = "What bounds it" if view.comparison.layer else "What bounds each layer"
    return [] if drawn is None else [_section("roofline", title, drawn)]


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
    return [_section("graphs", "The same layer, lowered", _note(note), *panels)]
