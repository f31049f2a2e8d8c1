"""``conv="measure"``: the strategy that was the fastest when all were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from convir.passes.lower_conv import Candidate, Chooser, ConvLayer, Decision, Strategy
from convir.runtime import KernelSet
from convir.selection.limits import Limits, refusal, require_one
from convir.selection.timing import Times, times_of


@dataclass(frozen=True)
class Measured(Chooser):
    """Times every strategy that takes a layer, once for each shape, and chooses the fastest that keeps to the limits.

    Attributes:
        kernels: what will run the layers.
        limits: what a strategy may cost besides time.
    """

    kernels: KernelSet
    limits: Limits = field(default_factory=Limits)
    name = "measure"

    def decide(
        self, layers: Sequence[ConvLayer], known: Sequence[Strategy], threads: int
    ) -> Mapping[ConvLayer, Decision]:
        times = times_of(layers, known, self.kernels, threads)
        return {layer: _decision(layer, known, self.limits, times[layer]) for layer in layers}


def _decision(layer: ConvLayer, known: Sequence[Strategy], limits: Limits, times: Times) -> Decision:
    candidates = tuple(measured(layer, each, limits, times) for each in known)
    require_one(layer, candidates)
    seconds = {each.strategy: each.seconds for each in candidates if not each.excluded and each.seconds is not None}
    best = min(seconds, key=seconds.__getitem__)
    chosen = next(each for each in known if each.name == best)
    return Decision(chosen, candidates, "the least measured time")


def measured(layer: ConvLayer, candidate: Strategy, limits: Limits, times: Times) -> Candidate:
    """A strategy with what was measured of it, or why it was not tried, or may not be taken."""
    if candidate.name not in times:
        return Candidate(candidate.name, refusal(layer, candidate))
    time = times[candidate.name]
    return Candidate(
        candidate.name,
        limits.excess(time.scratch_bytes, lambda: time.error),
        seconds=time.seconds,
        seconds_lower=time.seconds_lower,
        seconds_upper=time.seconds_upper,
        scratch_bytes=time.scratch_bytes,
        error=time.error,
    )
