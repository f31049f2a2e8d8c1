"""The comparison: a row for each layer and lowering, and how it is shown."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from convir.common.table import TextTable
from convir.comparison.table import WHOLE, comparison_table
from convir.comparison.verdict import verdict
from convir.passes.lower_conv import ConvLayer
from convir.runtime.machine import Machine, this_machine

#: Name and version of what :meth:`Comparison.to_json` returns.
SCHEMA = "convir.compare/2"

__all__ = ["SCHEMA", "WHOLE", "Comparison", "ComparisonRow", "LeftOut", "Roofline"]


@dataclass(frozen=True)
class ComparisonRow:
    """One layer, or the whole net, under one lowering.

    Attributes:
        layer: name of the model's node; None for the whole net.
        op: the model node's op; empty for the whole net and for work that belongs to no node of the model.
        lowering: name of the strategy. Layers without convolution may differ too, by layout changes.
        computed_by: name of the strategy that took its place, where it refuses the layer; else empty.
        chosen: names of the strategies that it chose, each once, where it is who chooses (``auto``, ``measure``).
        flops: as-lowered FLOPs, 2 a MAC; None where an op has no cost rule.
        multiplications: those of data with data, where Winograd saves; None where an op has no cost rule.
        bytes_moved: bytes that the lowered nodes read and write, each operand and result once.
        intensity: FLOPs and pointwise operations a byte moved; None where unknown.
        scratch_bytes: most bytes of scratch that the layer holds at once (patch matrices, padded and
            transposed copies, kernels' workspaces), from the memory plan.
        scratch: the largest scratch array of each op that makes one, e.g. ``{"im2col": 156800}``.
        peak_bytes: most arena bytes in use while the layer runs; for the whole net the size of the arena.
        seconds: median of the counted runs; of a layer in a net, those of its steps there.
        seconds_lower: their lower quartile.
        seconds_upper: their upper quartile.
        runs: how many runs were counted; 0 where times are estimated.
        error: relative error, of the samples that were timed; a layer's is its own. None where it is no convolution,
            and where nothing was timed.
        ratio: seconds over the best lowering's for the same layer.
        predicted_seconds: what a model of the machine expects before anything runs; None for explicit Python loops, of
            which it knows nothing.
        allocated_bytes: bytes of arena that NumPy allocated, by its own report. For the whole net, and for a
            layer that is compared by itself, ``peak_bytes``; for a convolution in a net, what it takes by itself; None
            for others.
        parameter_bytes: bytes of the parameters, or of what they were folded into, beside the arena; None for a layer
            of a net.
        extrapolated_from: samples of the batch that was timed, where the whole takes longer than the time budget and
            ``seconds`` are as many times more; 0 where even one sample does, and ``seconds`` are estimated from a small
            part of each convolution; None where they were measured.
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
    chosen: tuple[str, ...] = ()
    multiplications: int | None = None
    bytes_moved: int = 0
    intensity: float | None = None
    predicted_seconds: float | None = None
    allocated_bytes: int | None = None
    parameter_bytes: int | None = None
    extrapolated_from: int | None = None

    @property
    def is_convolution(self) -> bool:
        """Whether the lowering decides how this layer is computed."""
        return self.op.startswith("conv2d")


@dataclass(frozen=True)
class LeftOut:
    """A lowering that is not compared.

    Attributes:
        lowering: name of the strategy.
        reason: why, as what follows "it".
    """

    lowering: str
    reason: str


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
        backend: what ran the steps.
        threads: how many BLAS used: those that it was allowed, where it has as many and there is work for them.
        inference: whether parameters were folded, so that what follows from them alone took no time.
        left_out: what could not be compared.
        layer: one convolution in words, where that is compared by itself, as a net of one layer; else empty.
    """

    graph: str
    inputs: tuple[tuple[str, str], ...]
    backward: bool
    reference: str
    rows: tuple[ComparisonRow, ...]
    machine: Machine = field(default_factory=this_machine)
    roofline: Roofline | None = None
    convolutions: Mapping[str, ConvLayer] = field(default_factory=dict)
    backend: str = "numpy"
    threads: int = 1
    inference: bool = False
    left_out: tuple[LeftOut, ...] = ()
    layer: str = ""

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

    @property
    def verdict(self) -> str:
        """The outcome in a few sentences: see :func:`convir.comparison.verdict.verdict`."""
        return verdict(self)

    def to_json(self) -> dict[str, Any]:
        """Plain types: ``schema`` (``convir.compare/2``), the attributes but ``convolutions``, ``lowerings``,
        ``best`` and ``verdict``.

        ``inputs`` are types by name. Rows have the fields of :class:`ComparisonRow`; ``layer`` is null for the whole
        net. Those left out have ``lowering`` and ``reason``.
        """
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "inputs": dict(self.inputs),
            "backward": self.backward,
            "inference": self.inference,
            "reference": self.reference,
            "lowerings": list(self.lowerings),
            "best": self.best.lowering,
            "machine": self.machine.to_json(),
            "roofline": self.roofline and asdict(self.roofline),
            "backend": self.backend,
            "threads": self.threads,
            "left_out": [asdict(each) for each in self.left_out],
            "layer": self.layer,
            "verdict": self.verdict,
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
        return comparison_table(self)

    def __str__(self) -> str:
        return self.table().text()
