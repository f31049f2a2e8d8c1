"""Where the time goes: every bound step timed, beside what it computes and moves."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convir.common.table import Column, TextTable, format_seconds
from convir.passes.cost import Work, work_of
from convir.runtime import Executable

#: Name and version of what :meth:`Profile.to_json` returns.
SCHEMA = "convir.profile/1"


@dataclass(frozen=True)
class ProfileRow:
    """One step.

    Attributes:
        name: the lowered node.
        op: its op.
        origin: the model node that it computes a part of.
        half: ``forward`` or ``backward``.
        seconds: median over the repeats.
        share: of the sum over all steps.
        gflops: 10^9 FLOPs (2 a MAC) a second; None for steps without MACs.
        gbytes: 10^9 bytes read and written a second; None for steps that move nothing.
    """

    name: str
    op: str
    origin: str
    half: str
    seconds: float
    share: float
    gflops: float | None
    gbytes: float | None


@dataclass(frozen=True)
class Part:
    """The tile of a divided batch whose steps were timed: so many samples of so many."""

    samples: int
    batch: int

    def __str__(self) -> str:
        return f"one tile of {self.samples} of {self.batch} samples"


@dataclass(frozen=True)
class Profile:
    """Seconds of every step; prints as a table, the slowest first.

    A compiled backend has one call for a whole chain of steps. Here they are called one by one, so that each can be
    timed: a run takes about a microsecond a step longer than a call does.

    Attributes:
        graph: name of the graph.
        backend: name of the kernel set that ran it.
        rows: one for each step, in the order in which they run.
        seconds: median of whole runs, step by step, in one thread: of the whole batch, or of one tile.
        repeats: how many runs were timed.
        part: the tile that was timed; None where the batch is not divided.
    """

    graph: str
    backend: str
    rows: tuple[ProfileRow, ...]
    seconds: float
    repeats: int
    part: Part | None = None

    @property
    def covered(self) -> float:
        """Share of the whole runs' time that the steps account for."""
        return sum(row.seconds for row in self.rows) / (self.seconds or 1.0)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain types; seconds, and rates in 10^9 a second."""
        return {
            "schema": SCHEMA,
            "graph": self.graph,
            "backend": self.backend,
            "part": self.part and asdict(self.part),
            "seconds": self.seconds,
            "repeats": self.repeats,
            "covered": self.covered,
            "rows": [asdict(row) for row in self.rows],
        }

    def table(self) -> TextTable:
        """The steps, the slowest first."""
        rows = sorted(self.rows, key=lambda row: -row.seconds)
        return TextTable(
            _COLUMNS,
            [_cells(row) for row in rows],
            title=f"Profile of {self.graph}: {format_seconds(self.seconds)} a run, median of {self.repeats}",
            notes=(
                f"Steps cover {self.covered:.0%} of the run. GFLOP/s at 2 FLOPs a MAC. "
                "GB/s of operands read and results written.",
                f"Backend: {self.backend}; {self.part or 'the whole batch'}.",
            ),
        )

    def __str__(self) -> str:
        return str(self.table())


_COLUMNS = (
    Column("step", fold=True),
    Column("op", optional=1),
    Column("half", optional=3),
    Column("time", justify="right"),
    Column("share", justify="right"),
    Column("GFLOP/s", justify="right"),
    Column("GB/s", justify="right", optional=2),
)


def _cells(row: ProfileRow) -> list[str]:
    rates = ["-" if rate is None else f"{rate:.1f}" for rate in (row.gflops, row.gbytes)]
    return [row.name, row.op, row.half, format_seconds(row.seconds), f"{row.share:.1%}", *rates]


def profile(
    executable: Executable, loads: Sequence[Callable[[], None]], name: str, repeats: int, part: Part | None = None
) -> Profile:
    """Time every step of ``executable``.

    Args:
        executable: what to run; its steps overwrite each other's operands, so they run in order.
        loads: what to do before each half that runs: load the inputs, load the cotangents.
        name: of the graph, for the report.
        repeats: how many runs to time, after one to warm up.
        part: which part of the batch ``executable`` runs; None for all of it.
    """
    runs = [_timed(executable, loads) for _ in range(repeats + 1)][1:]
    steps = [(half, step) for half in range(len(loads)) for step in executable.halves[half]]
    medians = [statistics.median(times) for times in zip(*(steps for _, steps in runs), strict=True)]
    total = sum(medians) or 1.0
    rows = [
        _row(_HALVES[half], step.node, seconds, seconds / total)
        for (half, step), seconds in zip(steps, medians, strict=True)
    ]
    seconds = statistics.median(whole for whole, _ in runs)
    return Profile(name, executable.kernels.name, tuple(rows), seconds, repeats, part)


_HALVES = ("forward", "backward")


def _timed(executable: Executable, loads: Sequence[Callable[[], None]]) -> tuple[float, list[float]]:
    """Seconds of a whole run, and of each step."""
    seconds: list[float] = []
    whole = 0.0
    for half, load in enumerate(loads):
        load()
        steps, total = executable.timed(half)
        seconds += steps
        whole += total
    return whole, seconds


def _row(half: str, node: Any, seconds: float, share: float) -> ProfileRow:
    work: Work = work_of(node)
    moved = work.bytes_moved
    return ProfileRow(
        node.name,
        node.op.name,
        node.origin,
        half,
        seconds,
        share,
        _rate(work.flops, seconds),
        _rate(moved, seconds),
    )


def _rate(amount: int, seconds: float) -> float | None:
    """10^9 a second; None for nothing, or for a step shorter than the clock can tell."""
    return amount / seconds / 1e9 if amount and seconds else None
