"""``conv="measure"``: the strategy that was the fastest when all were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from convir.passes.lower_conv import Candidate, Chooser, ConvLayer, Decision, Strategy
from convir.runtime import KernelSet
from convir.selection.forecast import forecast
from convir.selection.limits import Limits, require_one
from convir.selection.place import Place
from convir.selection.timing import Times, times_of

#: What this process has decided: asked again, it says the same, whatever became of the times on disk.
_decided: dict[tuple[Measured, ConvLayer, tuple[Strategy, ...], int], Decision] = {}


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
        keys = {layer: (self, layer, tuple(known), threads) for layer in layers}
        place = Place(self.kernels, threads)
        times = times_of([layer for layer, key in keys.items() if key not in _decided], known, place)
        for layer, found in times.items():
            _decided[keys[layer]] = _decision(layer, known, self.limits, found, place)
        return {layer: _decided[key] for layer, key in keys.items()}


def _decision(layer: ConvLayer, known: Sequence[Strategy], limits: Limits, times: Times, place: Place) -> Decision:
    candidates = tuple(_with_time(forecast(layer, each, place), limits, times) for each in known)
    require_one(layer, candidates, limits)
    # Runs are disturbed and never helped: what a strategy takes when nothing is, is nearer to its lower quartile.
    lower = {each.strategy: each.seconds_lower for each in candidates if not each.excluded}
    seconds = {name: value for name, value in lower.items() if value is not None}
    best = min(seconds, key=seconds.__getitem__)
    chosen = next(each for each in known if each.name == best)
    return Decision(chosen, candidates, "the least measured time")


def _with_time(candidate: Candidate, limits: Limits, times: Times) -> Candidate:
    """A strategy with what was measured of it, or why it was not tried, or may not be taken."""
    time = times.get(candidate.strategy)
    if time is None:
        return candidate
    return replace(
        candidate,
        excluded=limits.over_memory(time.scratch_bytes) or limits.over_error(time.error),
        seconds=time.seconds,
        seconds_lower=time.seconds_lower,
        seconds_upper=time.seconds_upper,
        runs=time.runs,
        scratch_bytes=time.scratch_bytes,
        error=time.error,
    )
