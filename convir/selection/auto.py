"""``conv="auto"``: the strategy that a model of the machine expects to be the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from convir.passes.lower_conv import Candidate, Chooser, ConvLayer, Decision, Strategy
from convir.runtime import KernelSet
from convir.selection.forecast import forecast
from convir.selection.limits import Limits, require_one
from convir.selection.place import Place
from convir.selection.rounding import Rounding


@dataclass(frozen=True)
class Auto(Chooser):
    """Predicts every strategy that takes a layer, and chooses the fastest that keeps to the limits.

    Attributes:
        kernels: what will run the layers.
        limits: what a strategy may cost besides time.
    """

    kernels: KernelSet
    limits: Limits = field(default_factory=Limits)
    name = "auto"

    def decide(
        self, layers: Sequence[ConvLayer], known: Sequence[Strategy], threads: int
    ) -> Mapping[ConvLayer, Decision]:
        return {layer: _decision(self, layer, tuple(known), threads) for layer in layers}


@lru_cache(maxsize=1024)
def _decision(auto: Auto, layer: ConvLayer, known: tuple[Strategy, ...], threads: int) -> Decision:
    place = Place(auto.kernels, threads)
    found = {each: _in_memory(forecast(layer, each, place), auto.limits) for each in known}
    rounding = Rounding(layer)
    # Among equals the first of the list: where two strategies come to the same ops, the simpler one.
    for each in sorted((each for each in known if not found[each].excluded), key=lambda each: _seconds(found[each])):
        found[each] = _rounded(found[each], each, rounding, auto)
        if not found[each].excluded:
            # Slower ones need not be tried for what they round.
            return Decision(each, tuple(found.values()), "the least predicted time")
    require_one(layer, tuple(found.values()), auto.limits)
    raise AssertionError("one of them is considered")


def _seconds(candidate: Candidate) -> float:
    assert candidate.predicted_seconds is not None
    return candidate.predicted_seconds


def _in_memory(candidate: Candidate, limits: Limits) -> Candidate:
    """Excluded where it needs too much scratch."""
    if candidate.excluded or candidate.scratch_bytes is None:
        return candidate
    return replace(candidate, excluded=limits.over_memory(candidate.scratch_bytes))


def _rounded(candidate: Candidate, strategy: Strategy, rounding: Rounding, auto: Auto) -> Candidate:
    """Tried for its error, and excluded where that is too large, if there is a limit."""
    if auto.limits.error is None:
        return candidate
    error = rounding.error(strategy, auto.kernels)
    return replace(candidate, error=error, excluded=auto.limits.over_error(error))
