"""An explanation as text: a table for each problem that some convolutions are, then what was not considered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convir.common.table import Column, TextTable, format_bytes, format_seconds, wrapped
from convir.passes.lower_conv import Candidate

if TYPE_CHECKING:
    from convir.selection.explain import Explanation, LayerChoice


def explanation_text(explanation: Explanation) -> str:
    """Everything, as wide as the terminal."""
    heading = wrapped(_heading(explanation))
    if not explanation.choices:
        return f"{heading}\nThere is no convolution."
    tables = [_of_layer(choice, explanation.is_measured) for choice in explanation.choices]
    if any(_others_excluded(choice) for choice in explanation.choices):
        tables.append(_not_considered(explanation.choices))
    notes = [_TIMES, *([_ERROR] if explanation.is_measured else [])]
    return "\n\n".join([heading, *map(str, tables), "\n".join(map(wrapped, notes))])


def _heading(explanation: Explanation) -> str:
    threads = "one thread" if explanation.threads == 1 else f"{explanation.threads} threads"
    part = f", times of {explanation.part or 'the whole batch'}" if explanation.choices else ""
    return f"Convolutions of {explanation.graph}: {explanation.backend}, {threads} a matrix product{part}"


_TIMES = (
    "Times: of one run of the convolution by itself, forward and the gradients that are named; predicted by a model of "
    "the machine. Ratio: to the chosen strategy's time, measured where it was, else predicted."
)
_ERROR = "Error: relative, on random data against float64."


def _of_layer(choice: LayerChoice, measured: bool) -> TextTable:
    """The chosen strategy first, then the others by their time."""
    chosen = choice.chosen
    others = [each for each in choice.candidates if each is not chosen and not each.excluded]
    others.sort(key=lambda each: _seconds(each) or float("inf"))
    return TextTable(
        _columns(measured),
        [_cells(each, chosen, measured) for each in (chosen, *others)],
        title=f"{', '.join(choice.layers)} by {choice.strategy} ({choice.reason}): {choice.problem}; {choice.run}",
    )


def _columns(measured: bool) -> list[Column]:
    return [
        Column("strategy"),
        Column("predicted", "right", optional=2 if measured else 0),
        *([Column("measured", "right")] if measured else []),
        Column("ratio", "right"),
        Column("bound by", optional=4),
        Column("scratch", "right", optional=3),
        *([Column("error", "right", optional=1)] if measured else []),
    ]


def _cells(each: Candidate, chosen: Candidate, measured: bool) -> list[str]:
    own, base = _seconds(each), _seconds(chosen)
    ratio = f"{own / base:.2f}x" if own and base else ""
    error = "" if each.error is None else f"{each.error:.1e}"
    return [
        each.strategy,
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


def _others_excluded(choice: LayerChoice) -> list[Candidate]:
    """What was not considered; of what was asked for that is not said."""
    return [each for each in choice.candidates if each.excluded and each.strategy != choice.strategy]


def _not_considered(choices: Sequence[LayerChoice]) -> TextTable:
    """Which strategies were not considered for which layers, and why."""
    found: dict[tuple[str, str], list[str]] = {}
    for choice in choices:
        for each in _others_excluded(choice):
            found.setdefault((each.strategy, each.excluded), []).extend(choice.layers)
    rows = [(strategy, ", ".join(layers), why) for (strategy, why), layers in sorted(found.items())]
    columns = (Column("strategy"), Column("layers", fold=True), Column("why", fold=True))
    return TextTable(columns, rows, title="Not considered")
