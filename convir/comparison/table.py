"""A comparison as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convir.common.table import Column, TextTable, format_bytes, format_count, format_seconds
from convir.comparison.verdict import ratio, time_of
from convir.comparison.words import engine, phase

if TYPE_CHECKING:
    from convir.comparison.report import Comparison, ComparisonRow

#: What the table calls the rows of the whole net.
WHOLE = "whole net"


def comparison_table(comparison: Comparison) -> TextTable:
    """A row for each convolution, and the whole net, under each lowering; of one layer by itself, for each lowering."""
    rows = comparison.totals if comparison.layer else [row for row in comparison.rows if _differs(row, comparison)]
    cells: list[list[str]] = []
    previous: str | None = ""
    for row in rows:
        name = WHOLE if row.layer is None else row.layer
        cells.append([name if row.layer != previous else "", *_cells(row, ranked=comparison.has_convolution)])
        previous = row.layer
    shown = [index for index in range(len(_COLUMNS)) if _is_shown(index, cells, comparison)]
    return TextTable(
        [_COLUMNS[index] for index in shown],
        [[row[index] for index in shown] for row in cells],
        title=_title(comparison),
        notes=_notes(comparison),
    )


def _differs(row: ComparisonRow, comparison: Comparison) -> bool:
    """Whether the lowering makes a difference: other layers run the same kernels, and would bury those that do not."""
    return row.layer is None or row.is_convolution or not comparison.has_convolution


_COLUMNS = (
    Column("layer", fold=True),
    Column("lowering", fold=True),
    Column("FLOPs", "right", optional=3),
    Column("mults", "right", optional=6),
    Column("moved", "right", optional=7),
    Column("FLOP/B", "right", optional=8),
    Column("scratch", "right"),
    Column("peak", "right", optional=2),
    Column("weights", "right", optional=10),
    Column("allocated", "right", optional=9),
    Column("predicted", "right", optional=5),
    Column("time", "right"),
    Column("quartiles", "right", optional=4),
    Column("ratio", "right"),
    Column("error", "right", optional=1),
)

_ABSENT = "-"


def _is_shown(index: int, cells: Sequence[Sequence[str]], comparison: Comparison) -> bool:
    """Without what nobody knows, the layer where there is one, and weights that are the same for all."""
    name = _COLUMNS[index].name
    if name in ("layer", "weights"):
        return comparison.inference if name == "weights" else not comparison.layer
    return name != "predicted" or any(row[index] != _ABSENT for row in cells)


def _cells(row: ComparisonRow, ranked: bool) -> list[str]:
    quartiles = f"[{format_seconds(row.seconds_lower)}, {format_seconds(row.seconds_upper)}]"
    return [
        name_of(row),
        _count(row.flops),
        _count(row.multiplications),
        format_bytes(row.bytes_moved) if row.bytes_moved else _ABSENT,
        _ABSENT if row.intensity is None else f"{row.intensity:.1f}",
        format_bytes(row.scratch_bytes) if row.scratch_bytes else _ABSENT,
        format_bytes(row.peak_bytes),
        _ABSENT if row.parameter_bytes is None else format_bytes(row.parameter_bytes),
        _ABSENT if row.allocated_bytes is None else format_bytes(row.allocated_bytes),
        _ABSENT if row.predicted_seconds is None else format_seconds(row.predicted_seconds),
        time_of(row),
        quartiles if row.runs > 1 else "",
        _ratio(row) if ranked else _ABSENT,
        _ABSENT if row.error is None else f"{row.error:.1e}",
    ]


def _count(number: int | None) -> str:
    return "?" if number is None else format_count(number) if number else _ABSENT


def _ratio(row: ComparisonRow) -> str:
    return "best" if row.ratio == 1 else ratio(row)


def name_of(row: ComparisonRow) -> str:
    """The lowering, and in brackets what computes the layer where that is another's, or chosen."""
    by = row.computed_by or (row.chosen[0] if len(row.chosen) == 1 else "")
    return f"{row.lowering} ({by})" if by else row.lowering


def _title(comparison: Comparison) -> str:
    inputs = ", ".join(f"{name}: {type}" for name, type in comparison.inputs)
    what = comparison.layer or f"{comparison.graph}({inputs})"
    return f"{what}, {phase(comparison)}"


def _notes(comparison: Comparison) -> list[str]:
    runs = ", ".join(f"{row.lowering} {row.runs}" for row in comparison.totals)
    return [
        comparison.verdict,
        *choices(comparison),
        *_replaced(comparison),
        *left_out(comparison),
        *_extrapolated(comparison),
        f"Time: median{_where(comparison)}; quartiles in brackets. Counted runs, taken in turns: {runs}.",
        _counts(comparison),
        _errors(comparison),
        *([_SAME_KERNELS] if comparison.has_convolution and not comparison.layer else []),
        *([_PREDICTED] if any(row.predicted_seconds is not None for row in comparison.rows) else []),
        f"{engine(comparison)}. {comparison.machine}.",
    ]


_SAME_KERNELS = (
    "Layers without convolution run the same kernels under every lowering: they are in the whole net, and by "
    "themselves in JSON and on the page."
)


_PREDICTED = "Predicted: by a model of this machine, from the products and copies of a run; nothing of explicit loops."


def choices(comparison: Comparison) -> list[str]:
    """Which strategies were chosen for which layers, where they are not one."""
    said = []
    for row in comparison.totals:
        by: dict[str, list[str]] = {}
        for each in comparison.rows:
            if each.lowering == row.lowering and each.layer is not None and each.chosen:
                by.setdefault(each.chosen[0], []).append(each.layer)
        if by and not comparison.layer:
            told = "; ".join(f"{strategy} for {', '.join(layers)}" for strategy, layers in by.items())
            said.append(f"{row.lowering} chooses {told}.")
    return said


def left_out(comparison: Comparison) -> list[str]:
    """What is not compared, why, and how it is."""
    said = [f"{each.lowering} is left out: it {each.reason}." for each in comparison.left_out]
    return [*said, _ONE_LAYER] if said and comparison.has_convolution and not comparison.layer else said


_ONE_LAYER = (
    "What is left out of the net may be the fastest for one of its layers: convir.compare_layer (--layer NAME) "
    "compares all that take that one."
)


def _replaced(comparison: Comparison) -> list[str]:
    """Which layers a lowering left to another one."""
    layers: dict[tuple[str, str], list[str]] = {}
    for row in comparison.rows:
        if row.computed_by:
            layers.setdefault((row.lowering, row.computed_by), []).append(str(row.layer))
    return [f"{name} refuses {', '.join(names)}: computed by {other}." for (name, other), names in layers.items()]


def _extrapolated(comparison: Comparison) -> list[str]:
    """What was not timed whole."""
    only = "" if comparison.layer else "; the whole is that of its convolutions"
    return [_origin(row, only) for row in comparison.totals if row.extrapolated_from is not None]


def _origin(row: ComparisonRow, only: str) -> str:
    if row.extrapolated_from == 0:
        return (
            f"~ {row.lowering}: estimated from a small part of the convolution, as one sample takes longer than the "
            f"time budget{only}."
        )
    samples = "1 sample" if row.extrapolated_from == 1 else f"{row.extrapolated_from} samples"
    return (
        f"~ {row.lowering}: extrapolated from a batch of {samples}, as the whole takes longer than the time budget; "
        "its error is theirs."
    )


def _where(comparison: Comparison) -> str:
    return "" if comparison.layer else ", of a layer in the net"


def _counts(comparison: Comparison) -> str:
    where = (
        "allocated: what NumPy reported"
        if comparison.layer
        else "the whole net's peak is the arena; allocated: what NumPy reported, of a convolution by itself"
    )
    return (
        "FLOPs: as lowered, 1 MAC = 2 FLOPs; mults: those of data with data; moved: each operand read and each result "
        f"written once. Scratch and peak: from the memory plan; {where}."
    )


def _errors(comparison: Comparison) -> str:
    of_layer = "" if comparison.layer else "; a layer's is its own, found once for all of its shape"
    return f"Error: largest difference from the {comparison.reference}, over its largest element{of_layer}."
