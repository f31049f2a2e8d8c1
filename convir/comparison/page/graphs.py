"""One layer by itself under every lowering, drawn side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from convir.common.markup import Markup, joined, tag
from convir.comparison.page.drawing import legend_mark
from convir.comparison.page.view import View, ratio_of, time_of
from convir.comparison.report import ComparisonRow
from convir.compiler import pipeline
from convir.ir import ConvirError, Graph
from convir.ir.text_html import marked_up
from convir.passes.lower_conv import ConvLayer
from convir.passes.manager import run_passes

#: Characters of pictures in a page; one layer is there however large it is.
ROOM = 120_000


@dataclass(frozen=True)
class Drawn:
    """A layer under every lowering: the names it has in the model, its heading, the strip of pictures."""

    names: Sequence[str]
    heading: str
    strip: Markup


def drawn_layers(view: View, room: int = ROOM) -> Iterator[Drawn]:
    """Distinct convolutions, the slowest first, until ``room`` is filled."""
    for names, layer in _by_time(view):
        if room <= 0:
            return
        strip = tag(
            "div",
            *(_figure(view, row, layer) for row in view.layers[names[0]]),
            class_="strip",
            tabindex="0",
            role="region",
            aria_label=f"{view.whole if view.comparison.layer else names[0]} under every lowering",
        )
        yield Drawn(names, str(layer) if view.comparison.layer else f"{', '.join(names)}: {layer}", strip)
        room -= len(strip)


def distinct(view: View) -> dict[ConvLayer, list[str]]:
    """Problem -> the names of the layers that pose it."""
    found: dict[ConvLayer, list[str]] = {}
    for name, layer in view.comparison.convolutions.items():
        if name in view.convolutions:
            found.setdefault(layer, []).append(name)
    return found


def _by_time(view: View) -> list[tuple[list[str], ConvLayer]]:
    def seconds(names: Sequence[str]) -> float:
        return max(min(row.seconds for row in view.layers[name]) for name in names)

    # Of equal layers the slowest stands for the others.
    found = [(sorted(names, key=lambda name: -seconds([name])), layer) for layer, names in distinct(view).items()]
    return sorted(found, key=lambda pair: -seconds(pair[0]))


def _figure(view: View, row: ComparisonRow, layer: ConvLayer) -> Markup:
    said = f"{time_of(row)}, {'the best' if row.ratio == 1 else ratio_of(row)}"
    name = [legend_mark(view.index[row.lowering]), " ", tag("b", row.lowering)]
    if row.computed_by:
        return tag(
            "figure", tag("figcaption", *name), tag("p", f"{view.reason(row)}.", class_="note"), class_="refused"
        )
    if view.is_copy(row):
        said = f"Chose {row.chosen[0]}, and so computes what is drawn there."
        return tag("figure", tag("figcaption", *name), tag("p", said, class_="note"), class_="refused")
    strategy = row.chosen[0] if row.chosen else row.lowering
    try:
        graph = lowered(layer, strategy, view.comparison.backward, view.comparison.inference)
    except ConvirError as error:
        return tag("figure", tag("figcaption", *name), tag("p", str(error), class_="note"), class_="refused")
    caption = tag("figcaption", *name, *([f" ({strategy})"] if row.chosen else []), tag("small", said))
    return tag("figure", caption, _picture(graph, row.lowering), data_s=str(view.index[row.lowering]))


def lowered(layer: ConvLayer, lowering: str, backward: bool, inference: bool = False) -> Graph:
    """What the pipeline makes of the layer by itself, with its gradients if ``backward``.

    Without the parameters that ``inference`` folds.

    Raises:
        ConvirError: there is no such lowering, or it refuses the layer.
    """
    passes = pipeline(conv=lowering, wrt=None if backward else (), inference=inference)
    graph = run_passes(layer.alone(), passes)[-1].graph
    return replace(graph, name=lowering)


def _picture(graph: Graph, lowering: str) -> Markup:
    from convir.ir.drawing import render
    from convir.ir.drawing.inline import inline_svg

    try:
        drawn = render.draw(graph.to_dot(legend=False), "svg")
    except ConvirError as error:
        lines = [tag("li", marked_up(line)) for line in str(graph).splitlines()]
        said = tag("p", f"Not drawn, and so as text: {error}", class_="undrawn")
        return joined(said, tag("ol", *lines, class_="graph"))
    return tag("div", inline_svg(drawn, f"the layer lowered by {lowering}, drawn as a graph"), class_="paper")
