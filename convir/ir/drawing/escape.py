"""Writing any text into DOT so that it means itself: names come from the user's code."""

from __future__ import annotations

import html
from collections.abc import Mapping

from convir.common.markup import printable


class Markup(str):
    """Text that is already an HTML-like label."""

    __slots__ = ()


def quoted(text: str) -> str:
    """``text`` as a DOT string: an id or a plain attribute.

    >>> print(quoted('say "hi"'))
    "say \\"hi\\""
    """
    escaped = printable(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def literal(text: str) -> str:
    """``text`` for an attribute in which Graphviz expands ``\\N`` and entities, so that it does not.

    >>> print(literal("a\\\\N & b"))
    a\\\\N &amp; b
    """
    return html.escape(printable(text)).replace("\\", "\\\\").replace("\n", "&#10;")


def attributes(given: Mapping[str, str]) -> str:
    """``[color="red", label=<<B>x</B>>]``"""
    written = (f"{name}=<{v}>" if isinstance(v, Markup) else f"{name}={quoted(v)}" for name, v in given.items())
    return f"[{', '.join(written)}]"


def markup(text: str, *tags: str) -> Markup:
    """``text`` for an HTML-like label, inside ``tags`` from the outside in.

    Graphviz expands ``\\N`` even in HTML-like labels, so backslashes are doubled. Empty text would be
    a syntax error there.

    >>> markup("a<b", 'FONT POINT-SIZE="9"', "B")
    '<FONT POINT-SIZE="9"><B>a&lt;b</B></FONT>'
    """
    safe = html.escape(" ".join(printable(text).split()) or "\u00a0").replace("\\", "\\\\")
    for tag in reversed(tags):
        safe = f"<{tag}>{safe}</{tag.partition(' ')[0]}>"
    return Markup(safe)
