"""How much of the batch a lowering computes within its time budget, found out in a small part of that.

Explicit Python loops take hundreds of times as long as anything else, and a single image may take minutes. Their time
is proportional to their multiply-accumulates, and how much each takes is found on a small part of the layer: one group,
one filter, a few rows. Anything else gets through a thousand million operations a second, or it is timed on one sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from convir.comparison.contender import Contender, contender, origin_of
from convir.comparison.entrant import Entrant
from convir.comparison.problem import LayerProblem, Problem
from convir.comparison.settings import Settings, passes
from convir.ir import ConvirError, Node
from convir.ir.ops import ConvOp
from convir.passes.cost import Work, work_of
from convir.passes.lower_conv import ConvLayer

#: Operations a second that everything but explicit loops has.
SURE_FLOPS = 1e9

#: Multiply-accumulates a second that explicit loops have at least.
SURE_MACS = 2e5

#: Multiply-accumulates of the part of a layer that is timed: a tenth of a second or so.
_PART_MACS = 150_000


def fit(entrant: Entrant, problem: Problem, settings: Settings) -> None:
    """Let ``entrant`` time no more samples than end within its time budget."""
    loops = _explicit_loops(entrant.whole)
    if loops:
        _fit_loops(entrant, loops, problem, settings)
    elif not _surely_ends(entrant.whole, settings.time_budget):
        sample = _smaller(entrant.lowering, problem, 1, settings)
        if sample is not None:
            sample.run()
            sample.run()
            _shrink(entrant, problem, sample.runs[0].total, settings)


def _fit_loops(entrant: Entrant, loops: dict[str, list[Node]], problem: Problem, settings: Settings) -> None:
    budget = settings.time_budget
    if sum(map(_macs, loops.values())) / SURE_MACS <= budget:
        return
    rates: dict[ConvLayer, float] = {}
    seconds: dict[str, float] = {}
    for layer, nodes in loops.items():
        whole = ConvLayer.of(nodes)
        part = _part(whole, int(min(_PART_MACS, budget * SURE_MACS / 4)))
        rates[part] = rates.get(part) or _seconds_per_mac(part)
        seconds[layer] = _macs(nodes) * _share_inside(whole) * rates[part]
    per_sample = sum(seconds.values()) / problem.batch
    if per_sample > budget or not _shrink(entrant, problem, per_sample, settings):
        entrant.estimate(seconds)


def _shrink(entrant: Entrant, problem: Problem, per_sample: float, settings: Settings) -> bool:
    """Time as many samples as end in time twice, a warm-up and a run, and at least one; whether that can be had."""
    budget = settings.time_budget
    if per_sample * problem.batch <= budget:
        return True
    samples = max(1, min(int(budget / per_sample / 2), problem.batch - 1))
    timed = _smaller(entrant.lowering, problem, samples, settings)
    if timed is not None:
        entrant.shrink(timed, samples)
    return timed is not None


def _smaller(lowering: str, problem: Problem, samples: int, settings: Settings) -> Contender | None:
    """A contender of a smaller batch; None where there is none."""
    if samples >= problem.batch:
        return None
    try:
        return contender(lowering, problem.at(samples), settings)
    except ConvirError:
        return None


def _explicit_loops(lowered: Contender) -> dict[str, list[Node]]:
    """The convolutions that run as explicit Python loops, by layer."""
    found: dict[str, list[Node]] = {}
    for step in (step for half in lowered.compiled.executable.halves for step in half):
        if isinstance(step.node.op, ConvOp):
            found.setdefault(origin_of(step.node), []).append(step.node)
    return found


def _surely_ends(lowered: Contender, budget: float) -> bool:
    work = lowered.compiled.cost.lowered or Work()
    return (work.flops + work.pointwise) / SURE_FLOPS <= budget


def _part(layer: ConvLayer, macs: int) -> ConvLayer:
    """One filter on as many channels as it has, without margins, for as many results as take ``macs``; at least one.

    A layer has gradients of all that it is asked for, or of everything; the rates differ little.
    """
    _, channels, *kernel = layer.weight.shape
    rows, columns = layer.result.shape[2:]
    each = channels * kernel[0] * kernel[1]
    columns = max(1, min(columns, macs // each))
    rows = max(1, min(rows, macs // (each * columns)))
    size = [
        (results - 1) * stride + dilation * (taps - 1) + 1
        for results, stride, dilation, taps in zip(
            (rows, columns), layer.op.stride, layer.op.dilation, kernel, strict=True
        )
    ]
    return replace(
        layer,
        op=replace(layer.op, padding=(0, 0), groups=1),
        image=layer.image.with_shape((1, channels, *size)),
        weight=layer.weight.with_shape((1, channels, *kernel)),
        biased=False,
        frozen=False,
    )


def _share_inside(layer: ConvLayer) -> float:
    """Of all taps, those that fall on the image: the loops skip the margins."""
    shares: list[float] = [
        sum(0 <= i * stride + k * dilation - padding < size for i in range(results) for k in range(taps))
        / (results * taps)
        for results, size, taps, stride, dilation, padding in zip(
            layer.result.shape[2:],
            layer.image.shape[2:],
            layer.weight.shape[2:],
            layer.op.stride,
            layer.op.dilation,
            layer.op.padding,
            strict=True,
        )
    ]
    return shares[0] * shares[1]


def _seconds_per_mac(part: ConvLayer) -> float:
    graph = LayerProblem(part).graph
    timed = Contender("naive", graph, passes("naive", bool(part.gradients)))
    timed.run()
    timed.run()
    loops = _explicit_loops(timed)
    seconds = sum(timed.runs[0].layers[layer] for layer in loops)
    return seconds / sum(map(_macs, loops.values()))


def _macs(nodes: Iterable[Node]) -> int:
    return sum(work_of(node).macs for node in nodes)
