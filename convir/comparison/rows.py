"""From runs, plans and costs to the rows of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from convir.comparison.contender import Contender, origin_of
from convir.comparison.error import Errors
from convir.comparison.report import ComparisonRow
from convir.ir import Graph
from convir.passes.liveness import steps
from convir.passes.memory import MemoryPlan


def comparison_rows(graph: Graph, contenders: Sequence[Contender], errors: Errors) -> tuple[ComparisonRow, ...]:
    """A row for each layer and lowering, layers in the model's order; then the whole net."""
    timed = {layer for contender in contenders for layer in contender.runs[0].layers}
    ops = {node.name: node.op.name for node in graph.nodes}
    # What belongs to no node of the model comes after what does.
    layers = [name for name in ops if name in timed] + sorted(timed - set(ops))
    rows: list[ComparisonRow] = []
    for layer in (*layers, None):
        group = [_row(layer, ops.get(layer or "", ""), contender, errors) for contender in contenders]
        rows += _with_ratios(group)
    return tuple(rows)


def _row(layer: str | None, op: str, contender: Contender, errors: Errors) -> ComparisonRow:
    seconds = [run.total if layer is None else run.layers.get(layer, 0.0) for run in contender.runs]
    lower, median, upper = np.percentile(seconds, (25, 50, 75))
    use = _net_use(contender) if layer is None else _layer_use(contender.compiled.memory, layer)
    return ComparisonRow(
        layer=layer,
        op=op,
        lowering=contender.lowering,
        flops=_flops(contender, layer),
        scratch_bytes=use.scratch,
        scratch=use.scratch_by_op,
        peak_bytes=use.peak,
        seconds=float(median),
        seconds_lower=float(lower),
        seconds_upper=float(upper),
        runs=len(seconds),
        error=errors.get((layer, contender.lowering)),
        computed_by=contender.computed_by.get(layer or "", ""),
    )


def _with_ratios(group: Sequence[ComparisonRow]) -> Iterator[ComparisonRow]:
    """The rows of one layer with their times over the best one's."""
    best = min(row.seconds for row in group)
    return (replace(row, ratio=row.seconds / best if best > 0 else 1.0) for row in group)


def _flops(contender: Contender, layer: str | None) -> int | None:
    cost = contender.compiled.cost
    if layer is None:
        return cost.lowered.flops if cost.lowered else 0
    work = next((row.lowered for row in cost.rows if row.name == layer), None)
    return work.counted_flops if work else 0


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
