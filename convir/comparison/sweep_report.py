"""The report of a sweep: a point for each value and strategy, and how it is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from convir.common.table import TextTable, wrapped
from convir.comparison.crossover import Crossover, crossovers, sentence
from convir.comparison.noise import ranked
from convir.comparison.report import Comparison, ComparisonRow, LeftOut
from convir.comparison.sweep_table import sweep_table
from convir.comparison.verdict import ratio
from convir.comparison.words import engine, listed
from convir.passes.lower_conv.choice import CHOOSERS
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
class SweepDetail:
    """One of the values, in full."""

    value: int
    comparison: Comparison


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
        threads: how many BLAS used, at most: see :class:`Comparison`.
        inference: whether parameters were folded.
        machine: what it was measured on.
        detail: the comparison of the layer as it was given, or else of the last value; None where that is not known.
    """

    over: str
    layer: str
    points: tuple[SweepPoint, ...]
    backward: bool = False
    left_out: tuple[LeftOutAt, ...] = ()
    backend: str = "numpy"
    threads: int = 1
    inference: bool = False
    machine: Machine = field(default_factory=this_machine)
    detail: SweepDetail | None = None

    @property
    def values(self) -> tuple[int, ...]:
        """What ``over`` was, in ascending order."""
        return tuple(dict.fromkeys(point.value for point in self.points))

    @property
    def lowerings(self) -> tuple[str, ...]:
        """Names of the strategies that have a point, as they were asked for."""
        return tuple(self.rows)

    @cached_property
    def crossovers(self) -> tuple[Crossover, ...]:
        """Where one strategy overtakes another, of all pairs; see :func:`convir.comparison.crossover.crossovers`."""
        return tuple(crossovers({name: rows for name, rows in self.rows.items() if name not in CHOOSERS}))

    def fastest(self, value: int) -> tuple[str, ...]:
        """Names of the fastest strategy at a value and those about equal to it, the fastest first."""
        rows = [point.row for point in self.points if point.value == value]
        leading = [row for row, leads in zip(rows, ranked(rows), strict=True) if leads]
        return tuple(row.lowering for row in sorted(leading, key=lambda row: row.seconds))

    def to_json(self) -> dict[str, Any]:
        """Plain types: ``schema`` (``convir.sweep/1``), the attributes but ``detail``, ``values``, ``lowerings`` and
        ``crossovers``.

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
            "inference": self.inference,
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
            quantity: ``time``, ``predicted``, ``scratch``, ``peak``, ``FLOPs`` or ``error``.

        Raises:
            UnsupportedError: there is no such quantity.
        """
        return sweep_table(self, quantity)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained page, plots, tables and :attr:`detail`: see :mod:`convir.comparison.page`.

        Raises:
            UnsupportedError: another suffix than ``.html``, or no such folder.
            OSError: the folder is not writable.
        """
        from convir.comparison.page import write_sweep_page

        return write_sweep_page(self, path)

    def __str__(self) -> str:
        tables = [self.table(quantity).text() for quantity in ("time", "scratch")]
        return "\n\n".join([*tables, "\n".join(map(wrapped, self._notes()))])

    def sentences(self) -> list[str]:
        """The outcome in words: what is fastest where, the crossovers that matter, how those fared who choose.

        Crossovers matter that are of the fastest strategy of any value, or of ``im2col``.
        """
        told: dict[tuple[str, int, int, tuple[int, ...]], list[Crossover]] = {}
        for each in self.crossovers:
            if self._matters(each):
                told.setdefault((each.winner, each.before, each.after, each.equal), []).append(each)
        overtaking = [sentence(same, self.over) for same in told.values()] or ["No strategy overtakes another."]
        return [self._leaders(), *overtaking, *self._choices()]

    def _matters(self, crossover: Crossover) -> bool:
        return (
            BASELINE in (crossover.winner, crossover.loser)
            or crossover.winner in self.fastest(crossover.after)
            or crossover.loser in self.fastest(crossover.before)
        )

    def _leaders(self) -> str:
        """What is fastest at which values; of those who choose, what they chose is."""
        at: dict[tuple[str, ...], list[str]] = {}
        for value in self.values:
            names = tuple(name for name in self.fastest(value) if name not in CHOOSERS) or self.fastest(value)
            at.setdefault(names, []).append(str(value))
        told = (f"{listed(names)} at {self.over} {', '.join(values)}" for names, values in at.items())
        return f"Fastest: {'; '.join(told)}."

    def _choices(self) -> Iterator[str]:
        """What was chosen at which values, and where that costs the most time beyond noise."""
        for name in (each for each in self.lowerings if each in CHOOSERS):
            by: dict[str, list[str]] = {}
            for value, row in self.rows[name].items():
                by.setdefault(", ".join(row.chosen), []).append(str(value))
            told = "; ".join(f"{strategy} at {self.over} {', '.join(values)}" for strategy, values in by.items())
            behind = {
                value: row
                for value, row in self.rows[name].items()
                if not {name, *row.chosen} & set(self.fastest(value))
            }
            worst = max(behind, key=lambda value: behind[value].ratio, default=None)
            lost = "as fast as any" if worst is None else f"at most {ratio(behind[worst])} the fastest, at {worst}"
            yield f"{name} chooses {told}: {lost}."

    def _notes(self) -> list[str]:
        return [
            *self.sentences(),
            "*: the fastest, and those whose quartiles overlap with its: about equal. ~: extrapolated.",
            *self.absences(),
            f"{engine(self)}. {self.machine}.",
        ]

    def absences(self) -> list[str]:
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
    def rows(self) -> Mapping[str, Mapping[int, ComparisonRow]]:
        """Strategy -> value -> its row, strategies as they were asked for."""
        at = {value: [point.row.lowering for point in self.points if point.value == value] for value in self.values}
        found: dict[str, dict[int, ComparisonRow]] = {name: {} for name in _merged(list(at.values()))}
        for point in self.points:
            found[point.row.lowering][point.value] = point.row
        return found


def _merged(orders: Sequence[Sequence[str]]) -> list[str]:
    """All names, in an order that each of ``orders`` is a part of."""
    merged: list[str] = []
    for names in orders:
        place = len(merged)
        for name in reversed(names):
            if name in merged:
                place = merged.index(name)
            else:
                merged.insert(place, name)
    return merged
