"""From runs, plans and costs to the rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from convir.comparison.allocation import measured_allocation
from convir.comparison.alone import Alone
from convir.comparison.contender import Contender, origin_of
from convir.comparison.contest import Contest
from convir.comparison.entrant import Entrant
from convir.comparison.report import ComparisonRow
from convir.ir import Graph
from convir.passes.cost import Work
from convir.passes.liveness import steps
from convir.passes.memory import MemoryPlan


def model_rows(graph: Graph, contest: Contest, alone: Mapping[tuple[str, str], Alone]) -> tuple[ComparisonRow, ...]:
    """A row for each layer and lowering, layers in the model's order; then the whole net.

    A lowering whose times are estimated has rows for its convolutions and the whole net.
    """
    timed = {layer for entrant in contest.entrants for layer in entrant.runs[0].layers}
    ops = {node.name: node.op.name for node in graph.nodes}
    # What belongs to no node of the model comes after what does.
    names = [name for name in ops if name in timed] + sorted(timed - set(ops))
    rows: list[ComparisonRow] = []
    for name in names:
        group = [
            _layer_row(name, ops.get(name, ""), entrant, alone.get((name, entrant.lowering)))
            for entrant in contest.entrants
            if entrant.timed is not None or name in entrant.runs[0].layers
        ]
        rows += with_ratios(group)
    return (*rows, *whole_rows(contest))


def whole_rows(contest: Contest) -> Iterator[ComparisonRow]:
    """A row for each lowering of the whole problem."""
    errors = contest.errors()
    group = []
    for entrant in contest.entrants:
        compiled = entrant.whole.compiled
        work = compiled.cost.lowered or Work()
        row = _row(entrant, None, "", work, _net_use(entrant.whole), [run.total for run in entrant.runs])
        group.append(
            replace(
                row,
                error=errors.get(entrant.lowering),
                allocated_bytes=measured_allocation(compiled.program).arena,
                parameter_bytes=compiled.memory.parameter_bytes,
                chosen=tuple(dict.fromkeys(entrant.chosen.values())),
            )
        )
    return with_ratios(group)


def _layer_row(name: str, op: str, entrant: Entrant, alone: Alone | None) -> ComparisonRow:
    compiled = entrant.whole.compiled
    work = next((row.lowered for row in compiled.cost.rows if row.name == name), None) or Work()
    seconds = [run.layers.get(name, 0.0) for run in entrant.runs]
    row = _row(entrant, name, op, work, _layer_use(compiled.memory, name), seconds)
    chosen = (entrant.chosen[name],) if name in entrant.chosen else ()
    row = replace(row, computed_by=entrant.computed_by.get(name, ""), chosen=chosen)
    return row if alone is None else replace(row, error=alone.error, allocated_bytes=alone.allocated_bytes)


def _row(entrant: Entrant, name: str | None, op: str, work: Work, use: _Use, seconds: Sequence[float]) -> ComparisonRow:
    lower, median, upper = np.percentile(seconds, (25, 50, 75))
    return ComparisonRow(
        layer=name,
        op=op,
        lowering=entrant.lowering,
        flops=work.counted_flops,
        multiplications=work.counted_multiplications,
        bytes_moved=work.bytes_moved,
        intensity=work.intensity,
        scratch_bytes=use.scratch,
        scratch=use.scratch_by_op,
        peak_bytes=use.peak,
        seconds=float(median),
        seconds_lower=float(lower),
        seconds_upper=float(upper),
        runs=entrant.counted,
        error=None,
        predicted_seconds=entrant.predicted.get(name),
        extrapolated_from=entrant.extrapolated_from,
    )


def with_ratios(group: Sequence[ComparisonRow]) -> Iterator[ComparisonRow]:
    """The rows of one layer with their times over the best one's."""
    best = min(row.seconds for row in group)
    return (replace(row, ratio=row.seconds / best if best > 0 else 1.0) for row in group)


@dataclass
class _Use:
    """Arena bytes, at most."""

    scratch: int = 0
    peak: int = 0
    scratch_by_op: dict[str, int] = field(default_factory=dict)


def _layer_use(plan: MemoryPlan, layer: str) -> _Use:
    """What the plan holds while the layer runs; scratch is the layer's own."""
    own = {step for step, node in steps(plan.graphs) if origin_of(node) == layer}
    return _use(plan, own)


def _net_use(contender: Contender) -> _Use:
    plan = contender.compiled.memory
    use = _use(plan, {step for step, _ in steps(plan.graphs)})
    # The arena is what is allocated; between the buffers alive at its peak there may be gaps.
    use.peak = plan.peak_bytes
    return use


def _use(plan: MemoryPlan, own: set[int]) -> _Use:
    use = _Use()
    for step in sorted(own):
        alive = plan.alive(step)
        scratch = [buffer for buffer in alive if buffer.kind == "scratch" and buffer.first in own]
        use.scratch = max(use.scratch, sum(buffer.nbytes for buffer in scratch))
        use.peak = max(use.peak, sum(buffer.room for buffer in alive))
        for buffer in scratch:
            use.scratch_by_op[buffer.op] = max(use.scratch_by_op.get(buffer.op, 0), buffer.nbytes)
    return use
