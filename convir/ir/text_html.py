"""The text form of a graph for a page: its parts marked up."""

from __future__ import annotations

import re
from html import escape

from convir.common.markup import Markup, printable

_NODE = re.compile(r"  (?P<result>[^=]+) = (?P<op>\w+)\((?P<operands>.*)\) : (?P<types>.*?)(\s+# (?P<remark>.*))?")


def marked_up(line: str) -> Markup:
    """A line of the text form: results bold, the op in italics, types and provenance apart."""
    line = printable(line)
    match = _NODE.fullmatch(line)
    if match is None:
        return Markup(f"<b>{escape(line.strip())}</b>")
    part = {key: escape(value or "") for key, value in match.groupdict().items()}
    remark = part["remark"].replace("&lt;-", "←").strip()
    return Markup(
        f"<b>{part['result']}</b> = <i>{part['op']}</i>({part['operands']}) <s>: {part['types']}</s>"
        + (f" <small>{remark}</small>" if remark else "")
    )
