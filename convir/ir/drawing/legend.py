"""The caption above the picture: what the graph is, and what its signs and outlines mean."""

from __future__ import annotations

from convir.ir.drawing.box import BACKWARD, FAINT, INK, LOOKS, ink, look, marks
from convir.ir.drawing.escape import Markup
from convir.ir.drawing.label import parameter_count, shorten
from convir.ir.drawing.picture import Picture
from convir.ir.graph import Graph

#: Entries in a line of the legend: it should not be wider than a small graph.
_IN_A_LINE = 4
#: Empty columns that take up the width a row of the legend does not need.
_FILLERS = 99


def caption(graph: Graph, picture: Picture, legend: bool) -> Markup:
    """The name and size of the graph and, if wanted, a legend of what occurs in the picture.

    It is the label of the whole drawing, so it takes no part in the layout.
    """
    count = len(graph.nodes)
    size = f"{count} op{'' if count == 1 else 's'}, {parameter_count(graph.params)}"
    lines = [ink(shorten(graph.name, 60), INK, 14, "B"), ink(size, FAINT, 10)]
    entries = _entries(picture) if legend else []
    rows = [entries[start : start + _IN_A_LINE] for start in range(0, len(entries), _IN_A_LINE)]
    if rows:
        lines.append(_table("".join(f"<TR><TD>{_row(row)}</TD></TR>" for row in rows), spacing=0))
    return _table("".join(f"<TR><TD>{line}</TD></TR>" for line in lines), spacing=0)


def _row(entries: list[str]) -> Markup:
    """Entries of the legend beside each other, in a table of their own and as narrow as they are.

    In one table for all rows, a long text would widen the column above and below. Graphviz widens a
    table to its cell and gives every column the same: here nearly all goes to the many empty columns.
    """
    entries_alone = _table(f"<TR>{''.join(entries)}</TR>", spacing=3)
    return _table(f'<TR><TD>{entries_alone}</TD><TD COLSPAN="{_FILLERS}"></TD></TR>', spacing=0)


def _entries(picture: Picture) -> list[str]:
    """A pair of table cells for everything that needs an explanation."""
    boxes = [box for box in picture.boxes if box.role == "node"]
    seen = {box.nodes[0].op.kind for box in boxes}
    found = {mark for box in boxes for mark in marks(box)}
    makers = sorted({box.nodes[0].made_by for box in boxes if "lowered" in marks(box)})
    entries = [_sign(look(kind).sign, look(kind).strong, kind or "other") for kind in [*LOOKS, *sorted(seen - {*LOOKS})]
               if kind in seen]  # fmt: skip
    if "view" in found:
        entries.append(_sample(f'BORDER="1" COLOR="{FAINT}"', "view: nothing is copied"))
    if "fused" in found:
        inner = _table(f'<TR><TD BORDER="1" COLOR="{INK}" WIDTH="14" HEIGHT="7"></TD></TR>', spacing=2)
        entries.append(_sample(f'BORDER="1" COLOR="{INK}"', "fused", inner))
    if "lowered" in found:
        entries.append(_sample(f'BORDER="1" STYLE="dashed" COLOR="{INK}"', shorten(f"made by {', '.join(makers)}")))
    if any(box.gradient for box in picture.boxes):
        entries.append(_sign("∂", BACKWARD, "backward"))
    return entries


def _sign(sign: str, color: str, text: str) -> str:
    return _sample(f'BGCOLOR="{color}"', text, ink(sign, "white", 9, "B"))


def _sample(style: str, text: str, content: str = "") -> str:
    """A small box in that style, and what it means."""
    return f'<TD WIDTH="20" HEIGHT="12" {style}>{content}</TD><TD ALIGN="LEFT">{ink(text, FAINT, 9)}&#160;</TD>'


def _table(rows: str, spacing: int) -> Markup:
    return Markup(f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="{spacing}" CELLPADDING="0">{rows}</TABLE>')
