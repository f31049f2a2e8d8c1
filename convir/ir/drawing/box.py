"""How a box of the picture looks: its colours, its outline and its label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from convir.ir.drawing.escape import Markup, literal, markup
from convir.ir.drawing.label import box_flops, group_line, is_fused, op_line, parameter_count, shorten, tooltip
from convir.ir.drawing.picture import Box

INK = "#1b1f24"
FAINT = "#57606a"
#: Outline and arrows of the backward part.
BACKWARD = "#b3123c"
#: Parameters and their arrows.
PARAMETER = "#8c959f"


class Look(NamedTuple):
    """How a kind of op is drawn: a sign for the stripe, the stripe's colour, the body's colour."""

    sign: str
    strong: str
    tint: str


#: The sign says the same as the colour, for readers who cannot tell the colours apart. The stripes are
#: dark enough for white text on them to have a contrast of at least 4.5, the bodies light enough for black.
LOOKS: dict[str, Look] = {
    "convolution": Look("∗", "#005f9e", "#dcebf7"),  # noqa: RUF001 - the convolution sign
    "matmul": Look("×", "#8a3f7d", "#f4e3f0"),  # noqa: RUF001 - the product sign
    "pooling": Look("▽", "#00704f", "#d9f0e7"),
    "activation": Look("ƒ", "#b04600", "#fce6d8"),
    "elementwise": Look("±", "#7a6200", "#faf2cf"),
    "reduction": Look("Σ", "#0b6b78", "#d8f0f2"),
    "layout": Look("⇄", "#5a6570", "#edf0f2"),
    "loss": Look("!", "#99142a", "#f9dde0"),
    "region": Look("⊞", "#1f3a93", "#e1e6f7"),
    "constant": Look("c", "#6b553f", "#f2ebe3"),
    "random": Look("?", "#5047b8", "#e6e4fa"),
}
OTHER = Look("•", "#444444", "#eeeeee")


def look(kind: str) -> Look:
    """The look of a kind of op; a neutral one if it is new."""
    return LOOKS.get(kind, OTHER)


def marks(box: Box) -> list[str]:
    """What is remarkable about the op in the box: ``lowered``, ``fused``, ``gradient``, ``view``."""
    (node,) = box.nodes
    # A pass that only folds an epilogue in leaves the op what it was, and `fused` says it already.
    rewritten = node.made_by not in ("", "differentiate") and not node.made_by.startswith("fuse")
    holds = {"lowered": rewritten, "fused": is_fused(node), "gradient": box.gradient, "view": node.op.view}
    return [name for name, true in holds.items() if true]


def box_attributes(box: Box, flops: Mapping[str, float]) -> dict[str, str]:
    """The DOT attributes of a box."""
    common = {"tooltip": literal(tooltip(box))}
    if box.role == "node":
        return common | _op(box, flops)
    if box.role == "group":
        return common | _group(box, flops)
    if box.role == "param":
        return common | _param(box)
    return common | _terminal(box)


def card(sign: str, color: str, lines: list[Markup]) -> Markup:
    """A coloured stripe with a sign, and lines of text to its right."""
    stripe = f'<TD BGCOLOR="{color}" WIDTH="18">{ink(sign, "white", 11, "B")}</TD>'
    text = "".join(f'{line}&#160;<BR ALIGN="LEFT"/>' for line in lines)
    row = f'<TR>{stripe}<TD ALIGN="LEFT" BALIGN="LEFT" CELLPADDING="4">{text}</TD></TR>'
    return Markup(f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="2">{row}</TABLE>')


def _op(box: Box, flops: Mapping[str, float]) -> dict[str, str]:
    (node,) = box.nodes
    style, found = look(node.op.kind), marks(box)
    view = "view" in found
    sign = f"∂{style.sign}" if box.gradient else style.sign
    return {
        "class": " ".join(["op", node.op.kind, *found]),
        "label": card(sign, style.strong, _lines(box.title, op_line(node), box_flops(box, flops), faint=view)),
        "fillcolor": "white" if view else style.tint,
        "color": BACKWARD if box.gradient else style.strong,
        "penwidth": "0.7" if view else "1.4",
        "style": "filled,dashed" if "lowered" in found else "filled",
        "peripheries": "2" if "fused" in found else "1",
    }


def _group(box: Box, flops: Mapping[str, float]) -> dict[str, str]:
    lines = _lines(box.title, group_line(box.nodes), box_flops(box, flops))
    if box.values:
        lines.append(ink(parameter_count(box.values), FAINT, 9))
    return {
        "class": "group gradient" if box.gradient else "group",
        "label": card("∂…" if box.gradient else "…", INK, lines),
        "fillcolor": "#f6f8fa",
        "color": BACKWARD if box.gradient else INK,
        "penwidth": "1.4",
    }


def _param(box: Box) -> dict[str, str]:
    (value,) = box.values
    label = f"{ink(shorten(box.title), INK, 8)}<BR/>{ink(str(value.type), FAINT, 8)}"
    return {
        "class": "param",
        "label": Markup(label),
        "shape": "note",
        "fillcolor": "white",
        "color": PARAMETER,
        "penwidth": "0.7",
        "margin": "0.08,0.02",
        "height": "0.2",
        "width": "0.2",
    }


def _terminal(box: Box) -> dict[str, str]:
    (value,) = box.values
    color, size = (BACKWARD, 9) if box.gradient else (INK, 11)
    name = ink(shorten(box.title), "white", size, "B")
    return {
        "class": f"{box.role} gradient" if box.gradient else box.role,
        "label": Markup(f"{name}<BR/>{ink(f'{box.role} {value.type}', 'white', 9)}"),
        "style": "filled,rounded",
        "fillcolor": color,
        "color": color,
        "margin": "0.1,0.04",
        "height": "0.3",
    }


def _lines(title: str, what: str, flops: str, faint: bool = False) -> list[Markup]:
    lines = [ink(shorten(title), FAINT if faint else INK, 11, "B"), ink(what, FAINT if faint else INK, 9)]
    return [*lines, ink(flops, INK, 9, "I")] if flops else lines


def ink(text: str, color: str, size: int, *tags: str) -> Markup:
    """Text in a colour and size, inside further tags."""
    return markup(text, f'FONT COLOR="{color}" POINT-SIZE="{size}"', *tags)
