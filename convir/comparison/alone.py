"""Each convolution of a model by itself: the error that a lowering makes in it, and what it allocates for it.

What follows from its shape is found once for all layers of that shape: errors are those of the weights of the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from convir.comparison.allocation import measured_allocation
from convir.comparison.contender import Array, Contender, contender
from convir.comparison.contest import Contest
from convir.comparison.entrant import Entrant
from convir.comparison.problem import LayerProblem
from convir.comparison.progress import Progress
from convir.passes.lower_conv import ConvLayer
from convir.selection.rounding import relative_error


@dataclass(frozen=True)
class Alone:
    """A layer by itself under one lowering.

    Attributes:
        error: relative error, of the samples that the lowering is timed on; None where those are none.
        allocated_bytes: of arena, as NumPy reports them, for the whole batch.
    """

    error: float | None
    allocated_bytes: int


#: A strategy, and how many samples are timed: what decides a layer's error.
_Way = tuple[str, int]


def measured_alone(
    layers: Mapping[str, LayerProblem], contest: Contest, shown: Progress
) -> dict[tuple[str, str], Alone]:
    """(layer, lowering) -> what it is by itself, under the strategy that computes it in the net."""
    ways = {(name, each.lowering): _way(name, each) for name in layers for each in contest.entrants}
    asked: dict[ConvLayer, dict[_Way, None]] = {}
    for (name, _), way in ways.items():
        asked.setdefault(layers[name].layer, {})[way] = None
    first: dict[ConvLayer, LayerProblem] = {}
    for problem in layers.values():
        first.setdefault(problem.layer, problem)
    found: dict[ConvLayer, dict[_Way, Alone]] = {}
    for layer, problem in first.items():
        found[layer] = _measured(problem, contest, list(asked[layer]), shown)
        shown.advance("layers alone")
    return {(name, lowering): found[layers[name].layer][way] for (name, lowering), way in ways.items()}


def _way(layer: str, entrant: Entrant) -> _Way:
    # A layer that another one stands for in the net is in no list there.
    return entrant.whole.strategies.get(layer, entrant.lowering), entrant.samples


def _measured(problem: LayerProblem, contest: Contest, ways: Sequence[_Way], shown: Progress) -> dict[_Way, Alone]:
    exact: dict[int, list[Array]] = {}
    found: dict[_Way, Alone] = {}
    for strategy, samples in ways:
        with shown.aside():
            whole = contender(strategy, problem.graph, contest.settings)
        allocated = measured_allocation(whole.compiled.program).arena
        error = None
        if samples:
            timed = _run(whole, samples, problem, contest)
            if samples not in exact:
                exact[samples] = contest.exact(timed.compiled.program.model, timed.operands)
            error = relative_error(timed.results, exact[samples])
        found[strategy, samples] = Alone(error, allocated)
    return found


def _run(whole: Contender, samples: int, problem: LayerProblem, contest: Contest) -> Contender:
    """The contender that has run as many samples as are timed."""
    batch = contest.problem.batch
    if samples != batch:
        own = max(1, problem.batch * samples // batch)
        whole = contender(whole.lowering, problem.at(own), contest.settings)
    whole.run()
    return whole
