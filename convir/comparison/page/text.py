"""How figures are written on the page."""

from __future__ import annotations

from convir.common.table import format_bytes, format_count, format_seconds

#: Stands for a figure that is not known: an en dash.
UNKNOWN = "\u2013"


def seconds(value: float) -> str:
    """``1.23 ms``; microseconds with the letter that terminals may lack."""
    return format_seconds(value).replace(" us", " \u00b5s")


def count(value: float) -> str:
    """``1.23 M``"""
    return format_count(value)


def size(value: float) -> str:
    """``1.50 KiB``"""
    return format_bytes(int(value))


def times(ratio: float) -> str:
    """``1.25x``, ``12x``, ``12,345x``"""
    return f"{ratio:.2f}x" if ratio < 9.995 else f"{ratio:,.0f}x"


def error(value: float) -> str:
    """``1.2e-07``, and 0 where there is no difference."""
    return f"{value:.1e}" if value else "0"


def three_digits(value: float) -> str:
    """``0.123``, ``12.3``, ``1,230``"""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def tick(text: str) -> str:
    """``10 ms`` for ``10.0 ms``: ticks are round numbers."""
    number, _, unit = text.partition(" ")
    try:
        return f"{float(number):g} {unit}".rstrip()
    except ValueError:
        return text
