"""Graphviz's SVG inside a page."""

from __future__ import annotations

import pytest
from support.html_page import parsed

import convir
from convir.ir import ConvirError
from convir.ir.drawing.inline import inline_svg
from convir.ir.drawing.render import draw

SVG = b"""<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg width="10pt" height="20pt" viewBox="0.00 0.00 10.00 20.00"
 xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">
<g id="graph0" class="graph" transform="translate(4.25 16.04)"><title>net</title>
<g id="node1" class="node"><title>a</title>
<g id="a_node1"><a xlink:title="a = relu(x)  &lt;b&gt;">
<text xml:space="preserve" text-anchor="start" x="1.26" y="-2.00" font-family="Arial" fill="#1b1f24">a &amp; b</text>
<text text-anchor="start" x="3" y="4"> </text></a></g></g></g>
</svg>"""


def test_what_is_kept():
    assert inline_svg(SVG, 'a "label"') == (
        '<svg width="10pt" height="20pt" viewBox="0.00 0.00 10.00 20.00" role="img" '
        'aria-label="a &quot;label&quot;" font-family="Helvetica,Arial,sans-serif">'
        '<g transform="translate(4.2 16)"><g><title>a = relu(x)  &lt;b&gt;</title>'
        '<text x="1.3" y="-2" fill="#1b1f24">a &amp; b</text></g></g></svg>'
    )


def test_two_drawings_by_graphviz_share_a_page():
    graph = convir.trace(lambda x: x.reshape(2, 3) * 2.0, (6,))
    try:
        drawn = draw(graph.to_dot(), "svg")
    except ConvirError as error:
        pytest.skip(str(error))
    page = parsed(inline_svg(drawn, "one") + inline_svg(drawn, "two"))
    first, second = page.children
    assert first.texts == second.texts
    assert not [each for each in page.all() if "id" in each.attributes]
    assert {"reshape", "f32[2,3]"} <= {text.text.strip() for text in first.all("text")}
    assert len(inline_svg(drawn, "one")) < 0.7 * len(drawn)
