"""The outcome in words: what is fastest, and what its speed costs in memory and in digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from convir.common.table import format_bytes, format_seconds
from convir.comparison.noise import about_equal

if TYPE_CHECKING:
    from convir.comparison.report import ComparisonRow

#: Lowerings that a sentence names all; of more, the next and the last.
_NAMED = 3

#: Digits that nobody would notice.
_DIGITS = 0.1


def verdict(rows: Sequence[ComparisonRow]) -> str:
    """The lowerings of one problem, in a sentence or two; empty for a single one.

    A lowering is faster than another where the quartiles of their times do not overlap. The digits between two errors
    are the decimal logarithm of their quotient.
    """
    if len(rows) < 2:
        return ""
    best = min(rows, key=lambda row: row.seconds)
    return f"{_speed(best, rows)} {_price(best, rows)}"


def _speed(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    others = sorted((row for row in rows if row is not best), key=lambda row: row.seconds)
    equal = [row.lowering for row in others if about_equal(row, best)]
    slower = [row for row in others if row.lowering not in equal]
    named = slower if len(slower) <= _NAMED else [slower[0], slower[-1]]
    text = f"{best.lowering} is the fastest, {about(best)}{format_seconds(best.seconds)}"
    text += f", about equal with {_listed(equal)}" if equal else ""
    text += f": {', '.join(f'{times(row.ratio)} as fast as {row.lowering}' for row in named)}" if named else ""
    return f"{text}."


def _price(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    return f"It {_memory(best, rows)}{_exactness(best, rows)}."


def _memory(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    least = min(rows, key=lambda row: row.peak_bytes)
    if best.peak_bytes == least.peak_bytes:
        return f"takes the least memory, {format_bytes(best.peak_bytes)}"
    ratio = times(best.peak_bytes / max(least.peak_bytes, 1))
    return f"takes {format_bytes(best.peak_bytes)}, {ratio} the memory of {least.lowering}, which takes least"


def _exactness(best: ComparisonRow, rows: Sequence[ComparisonRow]) -> str:
    known = [row for row in rows if row.error is not None]
    if best.error is None or len(known) < 2:
        return ""
    most = min(known, key=lambda row: row.error or 0.0)
    lost = _digits(best.error, most.error or 0.0)
    if lost < _DIGITS:
        return f", and is as exact as any (error {best.error:.1e})"
    return f", and is {lost:.1f} digits less exact than {most.lowering}, the most exact ({most.error:.1e})"


def _digits(error: float, least: float) -> float:
    """How many decimal digits ``error`` has lost; an error of 0 counts as the rounding of a double."""
    tiny = 2.0**-53
    return math.log10(max(error, tiny) / max(least, tiny))


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def times(ratio: float) -> str:
    """``1.25x``, ``512x``, ``12,345x``"""
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"


def about(row: ComparisonRow) -> str:
    """``~`` before a time that was extrapolated."""
    return "" if row.extrapolated_from is None else "~"
