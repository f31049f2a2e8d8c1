"""The report of a sweep: a point for each value and strategy, and how it is shown."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from convir.common.table import Column, TextTable
from convir.comparison.crossover import Crossover, crossovers
from convir.comparison.noise import ranked
from convir.comparison.report import ComparisonRow, LeftOut
from convir.comparison.verdict import about
from convir.ir import UnsupportedError
from convir.runtime.machine import Machine, this_machine

#: Name and version of what :meth:`Sweep.to_json` returns.
SCHEMA = "convir.sweep/1"

#: What others are most often measured by; its crossovers are always told.
BASELINE = "im2col"


@dataclass(frozen=True)
class SweepPoint:
    """One strategy at one value.

    Attributes:
        value: of what varies.
        row: time, memory, operations and error, as in a comparison; its ratio is to the fastest at this value.
    """

    value: int
    row: ComparisonRow


@dataclass(frozen=True)
class LeftOutAt:
    """A strategy that has no point at a value, and why."""

    value: int
    left_out: LeftOut


@dataclass(frozen=True)
class Sweep:
    """Strategies side by side at several values of one number of a convolution; prints as tables.

    Attributes:
        over: what varies: ``size``, ``batch``, ``kernel`` or ``channels``.
        layer: the convolution that it started from, in words.
        points: value by value, in ascending order, the strategies of each.
        backward: whether a run is forward and both gradients, or forward alone.
        left_out: what has no point, and why.
        backend: what ran the steps.
        threads: how many BLAS was allowed.
        machine: what it was measured on.
    """

    over: str
    layer: str
    points: tuple[SweepPoint, ...]
    backward: bool = False
    left_out: tuple[LeftOutAt, ...] = ()
    backend: str = "numpy"
    threads: int = 1
    machine: Machine = field(default_factory=this_machine)

    @property
    def values(self) -> tuple[int, ...]:
        """What ``over`` was, in ascending order."""
        return tuple(dict.fromkeys(point.value for point in self.points))

    @property
    def lowerings(self) -> tuple[str, ...]:
        """Names of the strategies that have a point."""
        return tuple(self._rows)

    @cached_property
    def crossovers(self) -> tuple[Crossover, ...]:
        """Where one strategy overtakes another, of all pairs; see :func:`convir.comparison.crossover.crossovers`."""
        return tuple(crossovers(self._rows))

    def fastest(self, value: int) -> tuple[str, ...]:
        """Names of the fastest strategy at a value and those about equal to it, the fastest first."""
        rows = [point.row for point in self.points if point.value == value]
        leading = [row for row, leads in zip(rows, ranked(rows), strict=True) if leads]
        return tuple(row.lowering for row in sorted(leading, key=lambda row: row.seconds))

    def to_json(self) -> dict[str, Any]:
        """Plain types: ``schema`` (``convir.sweep/1``), all attributes, ``values``, ``lowerings`` and ``crossovers``.

        Points have ``value`` and the fields of :class:`ComparisonRow`. Those left out have ``value``, ``lowering`` and
        ``reason``; crossovers the fields of :class:`~convir.comparison.crossover.Crossover` and the ``sentence``.
        """
        return {
            "schema": SCHEMA,
            "over": self.over,
            "layer": self.layer,
            "backward": self.backward,
            "backend": self.backend,
            "threads": self.threads,
            "machine": self.machine.to_json(),
            "values": list(self.values),
            "lowerings": list(self.lowerings),
            "points": [{"value": point.value} | asdict(point.row) for point in self.points],
            "left_out": [{"value": each.value} | asdict(each.left_out) for each in self.left_out],
            "crossovers": [asdict(each) | {"sentence": each.sentence(self.over)} for each in self.crossovers],
        }

    def table(self, quantity: str = "time") -> TextTable:
        """One quantity as a table: a row for each strategy, a column for each value.

        Args:
            quantity: ``time``, ``scratch``, ``peak``, ``FLOPs`` or ``error``.

        Raises:
            UnsupportedError: there is no such quantity.
        """
        if quantity not in _QUANTITIES:
            raise UnsupportedError(f"a sweep has no {quantity!r}; it has: {', '.join(_QUANTITIES)}")
        unit, cell = _QUANTITIES[quantity]([point.row for point in self.points])
        # On a narrow terminal the values between the first and the last go, the larger ones first.
        places = [*range(len(self.values) - 1), 0]
        columns = [
            Column(str(value), "right", optional=place) for value, place in zip(self.values, places, strict=True)
        ]
        rows = [
            [name, *(_cell(rows.get(value), quantity, cell, self.fastest(value)) for value in self.values)]
            for name, rows in self._rows.items()
        ]
        phase = "forward and backward" if self.backward else "forward"
        return TextTable(
            [Column(self.over), *columns], rows, title=f"{self.layer}, {phase}: {quantity}{unit} by {self.over}"
        )

    def __str__(self) -> str:
        notes = TextTable((), (), notes=self._notes())
        tables = [self.table(quantity).text() for quantity in ("time", "scratch")]
        return "\n\n".join([*tables, "\n".join(notes.text().splitlines()[1:])])

    def sentences(self) -> list[str]:
        """The crossovers that matter, in words: those of the fastest strategy of any value, and of ``im2col``."""
        leaders = {value: self.fastest(value) for value in self.values}
        told = [
            each
            for each in self.crossovers
            if BASELINE in (each.winner, each.loser)
            or each.winner in leaders[each.after]
            or each.loser in leaders[each.before]
        ]
        return [each.sentence(self.over) for each in told] or ["No strategy overtakes another."]

    def _notes(self) -> list[str]:
        return [
            *self.sentences(),
            "*: the fastest, and those whose quartiles overlap with its: about equal. ~: extrapolated.",
            *self._absences(),
            f"{self.backend}, threads: {self.threads}, the batch in one piece. {self.machine}.",
        ]

    def _absences(self) -> list[str]:
        """What has no point, and why; reasons that differ in numbers only are one, told for the first value."""
        told: dict[tuple[str, str], list[LeftOutAt]] = {}
        for each in self.left_out:
            kind = re.sub(r"\d+", "0", each.left_out.reason)
            told.setdefault((each.left_out.lowering, kind), []).append(each)
        return [
            f"{name} has no {self.over} {', '.join(str(each.value) for each in at)}: it {at[0].left_out.reason}."
            for (name, _), at in told.items()
        ]

    @cached_property
    def _rows(self) -> Mapping[str, Mapping[int, ComparisonRow]]:
        """Strategy -> value -> its row."""
        found: dict[str, dict[int, ComparisonRow]] = {}
        for point in self.points:
            found.setdefault(point.row.lowering, {})[point.value] = point.row
        return found


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
