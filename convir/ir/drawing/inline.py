"""Graphviz's SVG as a part of a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from convir.common.markup import Markup, tag

_LINK_TITLE = "{http://www.w3.org/1999/xlink}title"
_NUMBER = re.compile(r"-?\d+\.\d+")
#: The page's own font, and what pages have one of each.
_DROPPED = ("id", "font-family", "class")


def inline_svg(svg: bytes, label: str) -> Markup:
    """The drawing as an element of a page, without ids (a page has each once), and with tooltips as titles.

    Args:
        svg: what :func:`convir.ir.drawing.render.draw` returns for ``"svg"``.
        label: what is drawn, for those who do not see it.
    """
    root = ElementTree.fromstring(svg)
    size = {name: root.get(name, "") for name in ("width", "height", "viewBox")}
    content = [_markup(child) for child in root]
    return tag("svg", *content, **size, role="img", aria_label=label, font_family="Helvetica,Arial,sans-serif")


def _markup(element: ElementTree.Element) -> Markup:
    name = element.tag.rpartition("}")[2]
    text = "".join(element.itertext())
    if name == "title" or (name == "text" and not text.strip()):
        # Graphviz's own id of the node; what is worth saying is in the link around it. And ends of lines.
        return Markup()
    if name == "text":
        return tag("text", text, **_kept(element))
    inside = [part for part in map(_markup, element) if part]
    if name == "a":
        return tag("g", tag("title", element.get(_LINK_TITLE, "")), *inside)
    kept = _kept(element)
    return inside[0] if name == "g" and len(inside) == 1 and not kept else tag(name, *inside, **kept)


def _kept(element: ElementTree.Element) -> dict[str, str]:
    """Attributes as far as a page needs them."""
    given = {key: value for key, value in element.attrib.items() if key not in _DROPPED and "}" not in key}
    return {key: _rounded(value) for key, value in given.items() if (key, value) != ("text-anchor", "start")}


def _rounded(value: str) -> str:
    """Coordinates to a tenth of a point."""
    return _NUMBER.sub(lambda match: f"{float(match[0]):.1f}".removesuffix(".0"), value)
