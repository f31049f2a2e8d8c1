"""The columns of the page's tables: what is written, what it is sorted by, whether less is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from convir.comparison.page import text
from convir.comparison.page.view import ratio_of, time_of
from convir.comparison.report import ComparisonRow


@dataclass(frozen=True)
class Figure:
    """A column of numbers.

    Attributes:
        heading: what is written above.
        help: what it is, with its unit.
        value: what rows are sorted by; None where it is not known.
        show: what is written.
        ranked: whether the least is the best.
    """

    heading: str
    help: str
    value: Callable[[ComparisonRow], float | None]
    show: Callable[[ComparisonRow], str]
    ranked: bool = True

    def best(self, rows: Sequence[ComparisonRow]) -> float | None:
        """The least of the rows; None where all are equal, or nothing is ranked."""
        values = {value for value in map(self.value, rows) if value is not None}
        return min(values) if self.ranked and len(values) > 1 else None


def known(rows: Sequence[ComparisonRow], folded: bool) -> list[Figure]:
    """The columns of which at least one row knows something; weights differ only where they were folded."""
    figures = [each for each in FIGURES if folded or each.heading != _WEIGHTS]
    return [each for each in figures if any(each.value(row) is not None for row in rows)]


_WEIGHTS = "weights"


def _of(
    heading: str,
    help: str,
    value: Callable[[ComparisonRow], float | None],
    write: Callable[[float], str],
    ranked: bool = True,
) -> Figure:
    def show(row: ComparisonRow) -> str:
        known = value(row)
        return text.UNKNOWN if known is None else write(known)

    return Figure(heading, help, value, show, ranked)


def _quartiles(row: ComparisonRow) -> str:
    if row.runs < 2:
        return text.UNKNOWN
    return f"{text.seconds(row.seconds_lower)} \u2013 {text.seconds(row.seconds_upper)}"


#: All there are; a table shows those of which something is known.
FIGURES = (
    Figure("time", "seconds a run, median of the counted runs", lambda row: row.seconds, time_of),
    Figure("quartiles", "lower and upper, of seconds a run", lambda row: row.seconds_lower, _quartiles, ranked=False),
    Figure("ratio", "time over that of the fastest lowering", lambda row: row.ratio, ratio_of, ranked=False),
    _of("predicted", "seconds, by the cost model, before anything ran", lambda r: r.predicted_seconds, text.seconds),
    _of("error", "largest difference from the reference over its largest element", lambda r: r.error, text.error),
    _of("scratch", "most bytes of scratch held at once", lambda row: row.scratch_bytes, text.size),
    _of("peak", "most bytes of the arena in use", lambda row: row.peak_bytes, text.size),
    _of(_WEIGHTS, "bytes of the parameters as they were folded", lambda row: row.parameter_bytes, text.size),
    _of("allocated", "bytes that were allocated, as measured", lambda row: row.allocated_bytes, text.size),
    _of("FLOPs", "as lowered; 1 MAC = 2 FLOPs", lambda row: row.flops, text.count),
    _of("multiplications", "of data with data, as lowered", lambda row: row.multiplications, text.count),
    _of("bytes moved", "operands and results of the lowered ops", lambda row: row.bytes_moved or None, text.size),
    _of("intensity", "operations a byte moved", lambda row: row.intensity, text.three_digits, ranked=False),
    _of("runs", "that were counted", lambda row: row.runs, text.count, ranked=False),
)
