"""What is expected of a layer under a strategy, before anything runs."""

from __future__ import annotations

from functools import lru_cache

from convir.passes.fuse_regions import FuseRegions
from convir.passes.lower_conv import Candidate, ConvLayer, Strategy
from convir.passes.lower_conv.stated import planned
from convir.passes.memory import MemoryPlan
from convir.runtime import KernelSet
from convir.selection.known_figures import figures_for
from convir.selection.limits import over_machine, refusal
from convir.selection.place import Place
from convir.selection.roofline import Prediction, predict_nodes


@lru_cache(maxsize=4096)
def forecast(layer: ConvLayer, candidate: Strategy, place: Place) -> Candidate:
    """A strategy with what is expected of it, or why it is not considered, whatever the limits are."""
    reason = refusal(layer, candidate)
    if reason:
        return Candidate(candidate.name, reason)
    plan = plan_of(layer, candidate, place.kernels)
    # Before anything is bound: a plan may be larger than the machine, and binding asks for its arrays.
    reason = over_machine(plan)
    if reason:
        return Candidate(candidate.name, reason, scratch_bytes=plan.scratch_peak)
    expected = predict(plan, layer.image.dtype, place)
    if expected is None:
        return Candidate(candidate.name, "runs Python, of which no time is predicted", scratch_bytes=plan.scratch_peak)
    return Candidate(
        candidate.name,
        predicted_seconds=expected.seconds,
        bound=expected.bound,
        scratch_bytes=plan.scratch_peak,
    )


def plan_of(layer: ConvLayer, candidate: Strategy, kernels: KernelSet) -> MemoryPlan:
    """The graphs that a layer by itself runs under a strategy that takes it, and their memory."""
    return planned(candidate, layer, kernels, [FuseRegions()] if kernels.fuses else [])


def predict(plan: MemoryPlan, dtype: str, place: Place) -> Prediction | None:
    """How long the graphs of a plan take; None where that cannot be told."""
    nodes = [node for graph in plan.graphs for node in graph.nodes]
    return predict_nodes(nodes, place.kernels, figures_for(place.kernels, place.threads, dtype))
