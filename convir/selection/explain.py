"""What was chosen for each convolution, what else there is, what was refused, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from convir.common.table import Column, TextTable, format_bytes, format_seconds
from convir.compiler import Program
from convir.passes.lower_conv import STRATEGIES, Candidate, LowerConv, LoweringRow
from convir.runtime.blas import usable_threads
from convir.selection.forecast import forecast
from convir.selection.place import Place

#: Name and version of what :meth:`Explanation.to_json` returns.
SCHEMA = "convir.explain/1"


@dataclass(frozen=True)
class LayerChoice:
    """Convolutions that are one problem, and get one answer.

    Attributes:
        layers: names of the model's nodes.
        problem: their shape, in words.
        strategy: what computes them.
        reason: why.
        candidates: every strategy there is, the chosen one too.
    """

    layers: tuple[str, ...]
    problem: str
    strategy: str
    reason: str
    candidates: tuple[Candidate, ...]

    @property
    def chosen(self) -> Candidate:
        """What is known of the chosen strategy; only its name where it was made with other settings than usual."""
        return next((each for each in self.candidates if each.strategy == self.strategy), Candidate(self.strategy))

    @property
    def best_predicted(self) -> Candidate | None:
        """The candidate with the least predicted time, of those that are not excluded."""
        known = [each for each in self.candidates if not each.excluded and each.predicted_seconds is not None]
        return min(known, key=lambda each: each.predicted_seconds or 0.0, default=None)

    def to_json(self) -> dict[str, Any]:
        """``layers, problem, strategy, reason, candidates``"""
        return {
            "layers": list(self.layers),
            "problem": self.problem,
            "strategy": self.strategy,
            "reason": self.reason,
            "candidates": [each.to_json() for each in self.candidates],
        }


@dataclass(frozen=True)
class Explanation:
    """How each convolution is computed, and why; prints as a table.

    Attributes:
        graph: name of the model.
        backend: what runs it.
        threads: how many threads a matrix product uses at most.
        choices: in the model's order; layers of one shape share a choice.
    """

    graph: str
    backend: str
    threads: int
    choices: tuple[LayerChoice, ...]

    def to_json(self) -> dict[str, Any]:
        """``schema, graph, backend, threads, choices``; seconds and bytes."""
        choices = [each.to_json() for each in self.choices]
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "backend": self.backend,
            "threads": self.threads,
            "choices": choices,
        }

    @property
    def is_measured(self) -> bool:
        """Whether any time was measured."""
        return any(each.seconds is not None for choice in self.choices for each in choice.candidates)

    def table(self) -> TextTable:
        """Layer by layer, the chosen strategy first, then the others by their time."""
        notes = ["There is no convolution."] if not self.choices else [_RATIO, *([_ERROR] if self.is_measured else [])]
        return TextTable(
            _columns(self.is_measured),
            [cells for choice in self.choices for cells in _rows(choice, self.is_measured)],
            title=f"Convolutions of {self.graph}: {self.backend}, {_counted(self.threads)} a matrix product",
            notes=notes,
        )

    def refusals(self) -> TextTable:
        """Which strategies were not considered for which layers, and why."""
        found: dict[tuple[str, str], list[str]] = {}
        for choice in self.choices:
            for each in choice.candidates:
                if each.excluded:
                    found.setdefault((each.strategy, each.excluded), []).extend(choice.layers)
        rows = [(strategy, ", ".join(layers), why) for (strategy, why), layers in sorted(found.items())]
        columns = (Column("strategy"), Column("layers", fold=True), Column("why", fold=True))
        return TextTable(columns, rows, title="Not considered")

    def __str__(self) -> str:
        parts = [self.table(), self.refusals()] if self.choices else [self.table()]
        return "\n\n".join(map(str, parts))


_RATIO = "Ratio: to the chosen strategy's time, measured where it was, else predicted by a model of the machine."
_ERROR = "Error: relative, on random data against float64."


def _counted(threads: int) -> str:
    return "one thread" if threads == 1 else f"{threads} threads"


def _columns(measured: bool) -> list[Column]:
    return [
        Column("layers", fold=True),
        Column("strategy"),
        Column("predicted", "right", optional=2 if measured else 0),
        *([Column("measured", "right")] if measured else []),
        Column("ratio", "right"),
        Column("bound by", optional=4),
        Column("scratch", "right", optional=3),
        *([Column("error", "right", optional=1)] if measured else []),
        Column("why", fold=True),
    ]


def explain(program: Program) -> Explanation:
    """What the pipeline of ``program`` chose for each convolution, beside what a model of the machine expects."""
    threads = next((each.threads for each in program.passes if isinstance(each, LowerConv)), 1)
    same: dict[tuple[object, ...], list[LoweringRow]] = {}
    for row in program.lowering.rows:
        same.setdefault((row.layer, row.strategy, row.asked, row.reason), []).append(row)
    choices = tuple(_choice(rows, program, threads) for rows in same.values())
    return Explanation(program.model.name, program.kernels.name, usable_threads(threads), choices)


def _choice(rows: Sequence[LoweringRow], program: Program, threads: int) -> LayerChoice:
    row, names = rows[0], tuple(each.node for each in rows)
    expected = tuple(forecast(row.layer, each, Place(program.kernels, threads)) for each in STRATEGIES)
    if row.decision is None:
        reason = row.reason or ("asked for" if row.asked else f"the default of {program.kernels.name}")
        return LayerChoice(names, str(row.layer), row.strategy, reason, expected)
    return LayerChoice(names, str(row.layer), row.strategy, row.decision.reason, row.decision.candidates)


def _rows(choice: LayerChoice, measured: bool) -> Iterator[list[str]]:
    chosen = choice.chosen
    others = [each for each in choice.candidates if each is not chosen and not each.excluded]
    others.sort(key=lambda each: _seconds(each) or float("inf"))
    name = f"{', '.join(choice.layers)}: {choice.problem}"
    yield [name, chosen.strategy, *_figures(chosen, chosen, measured), choice.reason]
    for each in others:
        yield ["", each.strategy, *_figures(each, chosen, measured), ""]


def _figures(each: Candidate, chosen: Candidate, measured: bool) -> list[str]:
    own, base = _seconds(each), _seconds(chosen)
    ratio = f"{own / base:.2f}x" if own and base else ""
    error = "" if each.error is None else f"{each.error:.1e}"
    return [
        "" if each.predicted_seconds is None else format_seconds(each.predicted_seconds),
        *([] if not measured else ["" if each.seconds is None else format_seconds(each.seconds)]),
        "chosen" if each is chosen else ratio,
        each.bound,
        "" if each.scratch_bytes is None else format_bytes(each.scratch_bytes),
        *([error] if measured else []),
    ]


def _seconds(each: Candidate) -> float | None:
    """Measured, or else predicted."""
    return each.predicted_seconds if each.seconds is None else each.seconds
