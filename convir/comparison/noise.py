"""When one time is shorter than another, and when nobody can say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

#: Runs from which on quartiles tell the spread.
_ENOUGH = 4

#: With fewer, what times differ by at least from run to run on a quiet machine, as a share.
_SPREAD = 0.1


class Timed(Protocol):
    """The median of some runs and its quartiles, in seconds."""

    @property
    def seconds(self) -> float:
        """Median."""

    @property
    def seconds_lower(self) -> float:
        """Lower quartile."""

    @property
    def seconds_upper(self) -> float:
        """Upper quartile."""

    @property
    def runs(self) -> int:
        """How many there are."""


def spread(row: Timed) -> tuple[float, float]:
    """Between which seconds half of the runs lie; of a few runs, at least a tenth around the median."""
    if row.runs >= _ENOUGH:
        return row.seconds_lower, row.seconds_upper
    return min(row.seconds_lower, row.seconds * (1 - _SPREAD)), max(row.seconds_upper, row.seconds * (1 + _SPREAD))


def is_faster(row: Timed, other: Timed) -> bool:
    """Whether ``row`` takes less time, and their spreads do not overlap."""
    return spread(row)[1] < spread(other)[0]


def about_equal(row: Timed, other: Timed) -> bool:
    """Whether neither is faster than the other beyond noise."""
    return not is_faster(row, other) and not is_faster(other, row)


def ranked(rows: Sequence[Timed]) -> list[bool]:
    """Of each row, whether it is the fastest, or about equal to that one."""
    best = min(rows, key=lambda row: row.seconds)
    return [about_equal(row, best) for row in rows]
