"""HTML and SVG from functions: what is text is escaped, what is markup is not."""

from __future__ import annotations

from html import escape

#: Elements that have no content, of HTML and of SVG.
_EMPTY = frozenset(("br", "meta", "rect", "line", "circle", "path", "polyline", "use"))

#: None and False leave an attribute out, True gives it without a value.
Attribute = str | float | bool | None


class Markup(str):
    """Text that is already markup."""

    __slots__ = ()


def tag(name: str, /, *content: str, **attributes: Attribute) -> Markup:
    """An element. Content is escaped unless it is :class:`Markup`; so are the values of attributes.

    Underscores in names of attributes are hyphens, one at the end is dropped.

    >>> tag("p", "a < b", tag("b", "!"), class_="x", data_v=0.25, hidden=True, title=None)
    '<p class="x" data-v="0.25" hidden>a &lt; b<b>!</b></p>'
    """
    opening = name + "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in _EMPTY:
        return Markup(f"<{opening}/>")
    return Markup(f"<{opening}>{joined(*content)}</{name}>")


def joined(*content: str) -> Markup:
    """One after the other."""
    return Markup("".join(each if isinstance(each, Markup) else escape(printable(each)) for each in content))


def printable(text: str) -> str:
    """``text`` without what neither XML nor UTF-8 can hold: control characters and halves of surrogate pairs."""
    return "".join(c if _is_xml(ord(c)) else "\ufffd" for c in text)


def _attribute(name: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    text = value if isinstance(value, str) else f"{value:.6g}"
    return f' {name}="{escape(printable(text))}"'


def _is_xml(code: int) -> bool:
    return code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
