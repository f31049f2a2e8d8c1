"""``conv="auto"``: the strategy that a model of the machine expects to be the fastest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from convir.passes.lower_conv import Candidate, Chooser, ConvLayer, Decision, Strategy
from convir.runtime import KernelSet
from convir.selection.known_figures import figures_for
from convir.selection.limits import Limits, error_of, refusal, require_one
from convir.selection.roofline import Prediction, predict_nodes
from convir.selection.trial import Trial


@dataclass(frozen=True)
class Auto(Chooser):
    """Predicts every strategy that takes a layer and keeps to the limits, and chooses the fastest.

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
    candidates = tuple(predicted(layer, each, auto.kernels, auto.limits, threads) for each in known)
    require_one(layer, candidates)
    seconds = {each.strategy: each.predicted_seconds for each in candidates if not each.excluded}
    expected = {name: value for name, value in seconds.items() if value is not None}
    # Among equals the first of the list: where two strategies come to the same ops, the simpler one.
    best = min(expected, key=expected.__getitem__)
    chosen = next(each for each in known if each.name == best)
    return Decision(chosen, candidates, "the least predicted time")


@lru_cache(maxsize=4096)
def predicted(layer: ConvLayer, candidate: Strategy, kernels: KernelSet, limits: Limits, threads: int) -> Candidate:
    """A strategy with what is expected of it, or why it is not considered."""
    reason = refusal(layer, candidate)
    if reason:
        return Candidate(candidate.name, reason)
    trial = Trial.of(layer, candidate, kernels)
    excess = limits.excess(trial.scratch_bytes, lambda: error_of(layer, candidate, kernels))
    error = None if limits.error is None else error_of(layer, candidate, kernels)
    found = Candidate(candidate.name, excess, scratch_bytes=trial.scratch_bytes, error=error)
    expected = predict(trial, threads)
    if expected is None:
        return replace(found, excluded=excess or "runs Python, of which no time is predicted")
    return replace(found, predicted_seconds=expected.seconds, bound=expected.bound)


def predict(trial: Trial, threads: int) -> Prediction | None:
    """How long a layer takes under a strategy, before anything runs; None where that cannot be told.

    Args:
        trial: the layer and the strategy.
        threads: how many threads a matrix product may use.
    """
    kernels, dtype = trial.program.kernels, trial.layer.image.dtype
    nodes = [node for graph in trial.program.graphs for node in graph.nodes]
    return predict_nodes(nodes, kernels, figures_for(kernels, threads, dtype))
