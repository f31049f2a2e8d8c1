"""How a memory plan is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convir.common.table import Column, TextTable, format_bytes

if TYPE_CHECKING:
    from convir.passes.liveness import Buffer
    from convir.passes.memory import MemoryPlan

#: Name and version of what :func:`memory_json` returns.
SCHEMA = "convir.memory/1"

_COLUMNS = (
    Column("buffer", fold=True),
    Column("kind"),
    Column("written by", optional=1),
    Column("size", justify="right"),
    Column("offset", justify="right", optional=2),
    Column("steps", justify="right"),
    Column("at peak"),
)


def memory_table(plan: MemoryPlan) -> TextTable:
    """Every buffer with its place and its time, the largest first."""
    buffers = sorted(plan.buffers, key=lambda buffer: (-buffer.nbytes, buffer.first))
    kinds = ", ".join(f"{kind} {format_bytes(size)}" for kind, size in plan.peak_by_kind().items() if size)
    without = sum(buffer.room for buffer in plan.buffers)
    return TextTable(
        _COLUMNS,
        [_row(plan, buffer) for buffer in buffers],
        title=f"Memory of {' then '.join(graph.name for graph in plan.graphs)}",
        notes=(
            f"{_arenas(plan)}; parameters and constants outside it: "
            f"{format_bytes(plan.parameter_bytes)}. Without reuse the buffers would take {format_bytes(without)}.",
            f"At the peak (step {plan.peak_step}): {kinds}.",
        ),
    )


def _arenas(plan: MemoryPlan) -> str:
    one = f"{format_bytes(plan.arena_bytes)} ({plan.arena_bytes} bytes)"
    if plan.arenas == 1:
        return f"Arena: {one}"
    return f"{plan.arenas} arenas of {one} each, one for each tile or thread: {format_bytes(plan.peak_bytes)}"


def _row(plan: MemoryPlan, buffer: Buffer) -> list[str]:
    others = len(buffer.values) - 1
    name = buffer.values[0] + (f" (+{others})" if others else "")
    at_peak = "yes" if buffer.first <= plan.peak_step <= buffer.last else ""
    steps = f"{buffer.first}-{buffer.last}"
    return [name, buffer.kind, buffer.op, format_bytes(buffer.nbytes), str(buffer.offset), steps, at_peak]


def memory_json(plan: MemoryPlan) -> dict[str, Any]:
    """A dict of plain types: bytes everywhere, steps counted over all graphs."""
    return {
        "schema": SCHEMA,
        "graphs": [graph.name for graph in plan.graphs],
        "peak_bytes": plan.peak_bytes,
        "arena_bytes": plan.arena_bytes,
        "arenas": plan.arenas,
        "peak_step": plan.peak_step,
        "parameter_bytes": plan.parameter_bytes,
        "peak_by_kind": plan.peak_by_kind(),
        "buffers": [
            {
                "values": list(buffer.values),
                "kind": buffer.kind,
                "op": buffer.op,
                "bytes": buffer.nbytes,
                "offset": buffer.offset,
                "first_step": buffer.first,
                "last_step": buffer.last,
            }
            for buffer in plan.buffers
        ],
    }
