"""The comparison: a row for each layer and lowering, and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convir.common.table import Column, TextTable, format_bytes, format_count, format_seconds
from convir.passes.lower_conv import ConvLayer
from convir.runtime.machine import Machine, this_machine

#: Name and version of what :meth:`Comparison.to_json` returns.
SCHEMA = "convir.compare/1"

#: What the table calls the rows of the whole net.
WHOLE = "whole net"


@dataclass(frozen=True)
class ComparisonRow:
    """One layer, or the whole net, under one lowering.

    Attributes:
        layer: name of the model's node; None for the whole net.
        op: the model node's op; empty for the whole net and for work that belongs to no node of the model.
        lowering: name of the strategy. Layers without convolution may differ too, by layout changes.
        computed_by: name of the strategy that took its place, where it refuses the layer; else empty.
        flops: as-lowered FLOPs, 2 a MAC; None where an op has no cost rule.
        multiplications: those of data with data, where Winograd saves; None where an op has no cost rule.
        bytes_moved: bytes that the lowered nodes read and write, each operand and result once.
        intensity: FLOPs and pointwise operations a byte moved; None where unknown.
        scratch_bytes: most bytes of scratch that the layer holds at once (patch matrices, padded and
            transposed copies, kernels' workspaces), from the memory plan.
        scratch: the largest scratch array of each op that makes one, e.g. ``{"im2col": 156800}``.
        peak_bytes: most arena bytes in use while the layer runs; for the whole net the size of the arena.
        seconds: median of the counted runs.
        seconds_lower: their lower quartile.
        seconds_upper: their upper quartile.
        runs: how many runs were counted.
        error: relative error; for a layer of its own, None where it is no convolution.
        ratio: seconds over the best lowering's for the same layer.
        predicted_seconds: what the cost model expected before anything ran; None without a model.
        allocated_bytes: bytes of arena that were allocated, as measured; for a layer, run alone.
        extrapolated_from: samples of the batch that was timed, where the whole takes longer than the time budget and
            ``seconds`` are so many times more; None where they were measured.
    """

    layer: str | None
    op: str
    lowering: str
    flops: int | None
    scratch_bytes: int
    peak_bytes: int
    seconds: float
    seconds_lower: float
    seconds_upper: float
    runs: int
    error: float | None
    ratio: float = 1.0
    scratch: Mapping[str, int] = field(default_factory=dict)
    computed_by: str = ""
    multiplications: int | None = None
    bytes_moved: int = 0
    intensity: float | None = None
    predicted_seconds: float | None = None
    allocated_bytes: int | None = None
    extrapolated_from: int | None = None

    @property
    def is_convolution(self) -> bool:
        """Whether the lowering decides how this layer is computed."""
        return self.op.startswith("conv2d")


@dataclass(frozen=True)
class Roofline:
    """What a machine can do at most.

    Attributes:
        gflops: 10^9 FLOPs a second, of the best matrix product.
        gbytes: 10^9 bytes read and written a second, of a copy that goes through memory.
        cached_gbytes: the same of a copy that stays in the caches of a core.
    """

    gflops: float
    gbytes: float
    cached_gbytes: float


@dataclass(frozen=True)
class Comparison:
    """Lowerings side by side; prints as a table.

    Attributes:
        graph: name of the model.
        inputs: (name, type) of each input.
        backward: whether a run is forward and backward, or forward alone.
        reference: what the errors are relative to.
        rows: layer by layer, the lowerings of each in the order given; the whole net comes last.
        machine: what it was measured on.
        roofline: what that machine can do; None where it was not measured.
        convolutions: name of a convolution -> the problem that it is by itself.
    """

    graph: str
    inputs: tuple[tuple[str, str], ...]
    backward: bool
    reference: str
    rows: tuple[ComparisonRow, ...]
    machine: Machine = field(default_factory=this_machine)
    roofline: Roofline | None = None
    convolutions: Mapping[str, ConvLayer] = field(default_factory=dict)

    @property
    def totals(self) -> tuple[ComparisonRow, ...]:
        """The rows of the whole net."""
        return tuple(row for row in self.rows if row.layer is None)

    @property
    def lowerings(self) -> tuple[str, ...]:
        """Names of the strategies, in the order given."""
        return tuple(row.lowering for row in self.totals)

    @property
    def has_convolution(self) -> bool:
        """Whether there is anything to lower, and so to compare."""
        return any(row.is_convolution for row in self.rows)

    @property
    def best(self) -> ComparisonRow:
        """The whole net under its fastest lowering."""
        return min(self.totals, key=lambda row: row.seconds)

    def to_json(self) -> dict[str, Any]:
        """Plain types: ``schema, graph, inputs, backward, reference, lowerings, best, machine, roofline, rows``.

        Rows have the fields of :class:`ComparisonRow`; ``layer`` is null for the whole net.
        """
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "inputs": dict(self.inputs),
            "backward": self.backward,
            "reference": self.reference,
            "lowerings": list(self.lowerings),
            "best": self.best.lowering,
            "machine": self.machine.to_json(),
            "roofline": self.roofline and asdict(self.roofline),
            "rows": [asdict(row) for row in self.rows],
        }

    def plot(self, path: str | os.PathLike[str]) -> Path:
        """Draw times, memory and errors to an SVG, PNG or PDF file: see :mod:`convir.comparison.plot`.

        Raises:
            UnsupportedError: matplotlib is not installed, another suffix, or no such folder.
            OSError: the folder is not writable.
        """
        from convir.comparison.plot import plot

        return plot(self, path)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write one self-contained page, tables, plots and graphs: see :mod:`convir.comparison.page`.

        Raises:
            UnsupportedError: another suffix than ``.html``, or no such folder.
            OSError: the folder is not writable.
        """
        from convir.comparison.page import write_page

        return write_page(self, path)

    def table(self) -> TextTable:
        """The comparison as a table that can be laid out at any width."""
        inputs = ", ".join(f"{name}: {type}" for name, type in self.inputs)
        rows: list[list[str]] = []
        previous: str | None = ""
        for row in self.rows:
            rows.append(_cells(row, first=row.layer != previous, ranked=self.has_convolution))
            previous = row.layer
        return TextTable(
            _COLUMNS,
            rows,
            title=f"{self.graph}({inputs}), {'forward and backward' if self.backward else 'forward'}",
            notes=self._notes(),
        )

    def __str__(self) -> str:
        return self.table().text()

    def _notes(self) -> list[str]:
        runs = ", ".join(f"{row.lowering} {row.runs}" for row in self.totals)
        error = f"largest difference from the {self.reference}, over its largest element; a layer's is its own"
        return [
            *self._verdict(),
            *self._replaced(),
            f"Time: median; quartiles in brackets. Counted runs, taken in turns: {runs}.",
            "FLOPs: as lowered, 1 MAC = 2 FLOPs. Scratch and peak: from the memory plan; the whole net's peak is the "
            "arena that was allocated.",
            f"Error: {error}.",
            *([_SAME_KERNELS] if self.has_convolution else []),
        ]

    def _replaced(self) -> list[str]:
        """Which layers a lowering left to another one."""
        layers: dict[tuple[str, str], list[str]] = {}
        for row in self.rows:
            if row.computed_by:
                layers.setdefault((row.lowering, row.computed_by), []).append(str(row.layer))
        return [f"{name} refuses {', '.join(names)}: computed by {other}." for (name, other), names in layers.items()]

    def _verdict(self) -> list[str]:
        """Which is the fastest, and by how much."""
        if not self.has_convolution:
            return ["There is no convolution to lower: all lowerings run the same kernels, and times differ by chance."]
        best = self.best
        others = [f"{_times(row.ratio)} as fast as {row.lowering}" for row in self.totals if row is not best]
        return [f"{best.lowering} is {', '.join(others)}."] if others else []


_SAME_KERNELS = (
    "Layers without convolution run the same kernels: they differ by layout changes, and by what a neighbour leaves "
    "in the caches."
)


_COLUMNS = (
    Column("layer", fold=True),
    Column("lowering"),
    Column("FLOPs", "right", optional=3),
    Column("scratch", "right"),
    Column("peak", "right", optional=2),
    Column("time", "right"),
    Column("quartiles", "right", optional=4),
    Column("ratio", "right"),
    Column("error", "right", optional=1),
)


def _cells(row: ComparisonRow, first: bool, ranked: bool) -> list[str]:
    name = WHOLE if row.layer is None else row.layer
    spread = f"[{format_seconds(row.seconds_lower)}, {format_seconds(row.seconds_upper)}]"
    return [
        name if first else "",
        row.lowering,
        "?" if row.flops is None else format_count(row.flops) if row.flops else "-",
        format_bytes(row.scratch_bytes) if row.scratch_bytes else "-",
        format_bytes(row.peak_bytes),
        format_seconds(row.seconds),
        spread if row.runs > 1 else "",
        _times(row.ratio) if ranked else "-",
        "-" if row.error is None else f"{row.error:.1e}",
    ]


def _times(ratio: float) -> str:
    """``1``, ``1.25x``, ``512x``, ``12,345x``"""
    if ratio == 1:
        return "best"
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:,.0f}x"
