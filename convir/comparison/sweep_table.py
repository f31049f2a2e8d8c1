"""A sweep as tables for people: a quantity of each strategy at each value, in one unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from convir.common.table import Column, TextTable
from convir.comparison.report import ComparisonRow
from convir.comparison.verdict import about
from convir.comparison.words import phase
from convir.ir import UnsupportedError

if TYPE_CHECKING:
    from convir.comparison.sweep_report import Sweep


def sweep_table(sweep: Sweep, quantity: str) -> TextTable:
    """A row for each strategy, a column for each value; raises UnsupportedError where there is no such quantity."""
    if quantity not in _QUANTITIES:
        raise UnsupportedError(f"a sweep has no {quantity!r}; it has: {', '.join(_QUANTITIES)}")
    unit, cell = _QUANTITIES[quantity]([point.row for point in sweep.points])
    # On a narrow terminal the values between the first and the last go, the larger ones first.
    places = [*range(len(sweep.values) - 1), 0]
    columns = [Column(str(value), "right", optional=place) for value, place in zip(sweep.values, places, strict=True)]
    rows = [
        [name, *(_cell(rows.get(value), quantity, cell, sweep.fastest(value)) for value in sweep.values)]
        for name, rows in sweep.rows.items()
    ]
    title = f"{sweep.layer}, {phase(sweep)}: {quantity}{unit} by {sweep.over}"
    return TextTable([Column(sweep.over), *columns], rows, title=title)


_Rows = Sequence[ComparisonRow]
_Cell = Callable[[ComparisonRow], str]

_TIMES = ((" in us", 1e-6), (" in ms", 1e-3), (" in s", 1.0))
_BYTES = ((" in B", 1.0), (" in KiB", 2.0**10), (" in MiB", 2.0**20), (" in GiB", 2.0**30))
_COUNTS = (("", 1.0), (" in k", 1e3), (" in M", 1e6), (" in G", 1e9))


def _quantity(of: Callable[[ComparisonRow], float | None], units: Sequence[tuple[str, float]]) -> Any:
    """What makes, of all rows, the unit that they share, and a cell of each."""

    def shared(rows: _Rows) -> tuple[str, _Cell]:
        known = sorted(value for row in rows if (value := of(row)))
        middle = known[len(known) // 2] if known else 1.0
        unit, size = [units[0], *(each for each in units[1:] if each[1] <= middle)][-1]
        return unit, lambda row: "-" if not of(row) else _figures((of(row) or 0.0) / size)

    return shared


def _figures(value: float) -> str:
    """Three digits, and no exponent: 0.0123, 1.23, 123, 12,345."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}" if value >= 0.001 else f"{value:.4f}"


def _error(rows: _Rows) -> tuple[str, _Cell]:
    return "", lambda row: "-" if row.error is None else f"{row.error:.1e}"


_QUANTITIES: dict[str, Callable[[_Rows], tuple[str, _Cell]]] = {
    "time": _quantity(lambda row: row.seconds, _TIMES),
    "predicted": _quantity(lambda row: row.predicted_seconds, _TIMES),
    "scratch": _quantity(lambda row: row.scratch_bytes, _BYTES),
    "peak": _quantity(lambda row: row.peak_bytes, _BYTES),
    "FLOPs": _quantity(lambda row: row.flops, _COUNTS),
    "error": _error,
}


def _cell(row: ComparisonRow | None, quantity: str, cell: _Cell, fastest: Sequence[str]) -> str:
    """Empty where the strategy has no point; a time says whether it is the best, and whether it was measured."""
    if row is None:
        return ""
    if quantity != "time":
        return cell(row)
    return f"{about(row)}{cell(row)}{'*' if row.lowering in fastest else ' '}"
