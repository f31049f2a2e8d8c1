"""Graphviz DOT text. Written by hand: making it needs neither Graphviz nor a package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from convir.common.markup import printable
from convir.ir.drawing.box import BACKWARD, FAINT, INK, PARAMETER, box_attributes
from convir.ir.drawing.escape import attributes, literal, markup, quoted
from convir.ir.drawing.flops import Flops, flops_by_name
from convir.ir.drawing.label import shorten
from convir.ir.drawing.legend import caption
from convir.ir.drawing.picture import Arrow, Box, Cluster, clusters, picture
from convir.ir.errors import UnsupportedError
from convir.ir.graph import Graph

_FONT = "Helvetica,Arial,sans-serif"
_SPACER = attributes({"style": "invis", "weight": "4", "class": "spacer"})


def to_dot(
    graph: Graph,
    *,
    flops: Flops | None = None,
    depth: int | None = None,
    params: bool = True,
    direction: str = "TB",
    legend: bool = True,
    dpi: int | None = None,
) -> str:
    """The graph as Graphviz DOT text.

    Every op is a box in its kind's colour and with its kind's sign, that gives its name and its op;
    scopes are nested clusters; arrows carry types. A dashed outline marks what a pass made, a double
    one what has an epilogue fused in, red and ``∂`` the backward part, a pale box a view. Where a
    graph has a forward and a backward part, the backward runs back up beside the forward.

    Args:
        graph: the graph to draw.
        flops: shown in the boxes: node name -> FLOPs, or the report of ``convir.estimate(graph)``; nodes
            that are not listed show none.
        depth: nest clusters this deep and draw each scope below them as one box; all of them by default.
        params: draw parameters.
        direction: ``"TB"``, top to bottom, or ``"LR"``, left to right.
        legend: explain the signs and outlines that occur.
        dpi: pixels an inch of a PNG.

    Raises:
        UnsupportedError: an option out of range, or ``flops`` of a node that the graph does not have.
    """
    _check(depth, direction, dpi)
    counts = flops_by_name(graph, flops)
    drawn = picture(graph, depth, params)
    ids = _ids(drawn.boxes)
    lines = [
        f"digraph {quoted(graph.name)} {{",
        *_defaults(direction, dpi),
        f"  label=<{caption(graph, drawn, legend)}>;",
        *_cluster(clusters(drawn.boxes), counts, ids, 1),
        *(_edge(arrow, drawn.joint, ids) for arrow in drawn.arrows),
        *(f"  {ids[upper]} -> {ids[lower]} {_SPACER};" for upper, lower in drawn.spacers),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _check(depth: int | None, direction: str, dpi: int | None) -> None:
    if direction not in ("TB", "LR"):
        raise UnsupportedError(f"direction must be 'TB' or 'LR', got {direction!r}")
    for name, value, least in (("depth", depth, 0), ("dpi", dpi, 1)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UnsupportedError(f"{name} must be None or an integer of at least {least}, got {value!r}")


def _defaults(direction: str, dpi: int | None) -> Iterator[str]:
    page = {
        "rankdir": direction,
        # A page of its own, so that text keeps its contrast on whatever the picture is shown.
        "bgcolor": "white",
        "pad": "0.2",
        "nodesep": "0.2",
        "ranksep": "0.25",
        "labelloc": "t",
        "fontname": _FONT,
    }
    if dpi is not None:
        page["dpi"] = str(dpi)
    node = {"shape": "box", "style": "filled", "margin": "0", "fontname": _FONT, "fontcolor": INK}
    edge = {"fontname": _FONT, "fontsize": "9", "fontcolor": FAINT, "color": FAINT, "arrowsize": "0.6"}
    for name, given in (("graph", page), ("node", node), ("edge", edge)):
        yield f"  {name} {attributes(given)};"


def _ids(boxes: tuple[Box, ...]) -> dict[Box, str]:
    """A quoted id for every box: its own, except where Graphviz would take two for one or for none."""
    names: dict[str, Box] = {}
    for box in boxes:
        name = printable(box.id)
        # Empty ids and those with a percent sign in front are anonymous to Graphviz.
        name = f" {name}" if not name or name.startswith("%") else name
        while name in names:
            name += "'"
        names[name] = box
    return {box: quoted(name) for name, box in names.items()}


def _cluster(cluster: Cluster, flops: Mapping[str, float], ids: Mapping[Box, str], level: int) -> Iterator[str]:
    """The boxes of a scope, then the scopes inside it, each in its own subgraph."""
    indent = "  " * level
    for box in cluster.boxes:
        yield f"{indent}{ids[box]} {attributes(box_attributes(box, flops))};"
    for inner in cluster.inner.values():
        frame = {
            "label": markup(shorten(inner.scope), f'FONT COLOR="{FAINT}" POINT-SIZE="10"', "B"),
            "labeljust": "l",
            "style": "filled,rounded",
            "fillcolor": "#f3f5f7" if level % 2 else "#fdfdfe",
            "color": "#afb8c1",
            "margin": "9",
            "tooltip": literal(inner.scope),
        }
        yield f"{indent}subgraph {quoted('cluster_' + inner.scope)} {{"
        yield f"{indent}  graph {attributes(frame)};"
        yield from _cluster(inner, flops, ids, level + 1)
        yield f"{indent}}}"


def _edge(arrow: Arrow, joint: bool, ids: Mapping[Box, str]) -> str:
    """An arrow; inside the backward part of a joint graph it is laid out against its direction.

    So a gradient stands beside the op that it belongs to, and the cotangent rises from the last op to
    the first. The layout has no cycles: forward boxes never read backward ones.
    """
    operands = f" ({', '.join(arrow.operands)})" if arrow.operands else ""
    given = {"tooltip": literal(f"{arrow.value}{operands}")}
    if arrow.tail.role == "param":
        given |= {"color": PARAMETER, "penwidth": "0.7", "class": "param"}
    else:
        given |= {"label": "" if arrow.head.role == "output" else f" {arrow.value.type} ", **_flow(arrow)}
    tail, head = arrow.tail, arrow.head
    if joint and tail.gradient:
        tail, head = head, tail
        given["dir"] = "back"
    return f"  {ids[tail]} -> {ids[head]} {attributes(given)};"


def _flow(arrow: Arrow) -> dict[str, str]:
    """Forward, backward, or a value kept for the backward."""
    if arrow.tail.gradient:
        # Hollow arrowheads, since red alone is lost on some readers.
        tips = {"arrowhead": "empty", "arrowtail": "empty"}
        return {"color": BACKWARD, "fontcolor": BACKWARD, "class": "gradient", "weight": "4", **tips}
    if arrow.head.gradient:
        return {"style": "dashed", "penwidth": "0.7", "class": "kept"}
    return {"class": "forward", "weight": "2"}
