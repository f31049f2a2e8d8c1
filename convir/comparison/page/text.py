"""How figures are written on the page."""

from __future__ import annotations

import re

from convir.common.table import format_bytes, format_count, format_seconds

#: Stands for a figure that is not known: an en dash.
UNKNOWN = "\u2013"


#: Put before a time that was not measured as a whole.
ABOUT = "\u2248"


def typeset(words: str) -> str:
    """What is said on terminals, with signs that those may lack: of microseconds, and of what is about so much."""
    return re.sub(r"~(?=\d)", ABOUT, re.sub(r"(?<=\d) us\b", " \u00b5s", words))


def capitalised(words: str) -> str:
    """With a large first letter, and others as they are."""
    return words[:1].upper() + words[1:]


def seconds(value: float) -> str:
    """``1.23 ms``"""
    return typeset(format_seconds(value))


def count(value: float) -> str:
    """``1.23 M``"""
    return format_count(value)


def size(value: float) -> str:
    """``1.50 KiB``"""
    return format_bytes(int(value))


def error(value: float) -> str:
    """``1.2e-07``, and 0 where there is no difference."""
    return f"{value:.1e}" if value else "0"


def three_digits(value: float) -> str:
    """``0.123``, ``12.3``, ``1,230``"""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"
