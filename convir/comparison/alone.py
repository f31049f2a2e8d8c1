"""Each convolution of a model by itself: the error that a lowering makes in it, and what it allocates for it.

What follows from its shape is found once for all layers of that shape: errors are those of the weights of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from convir.comparison.allocation import measured_allocation
from convir.comparison.contender import Array, Contender, contender
from convir.comparison.contest import Contest
from convir.comparison.entrant import Entrant
from convir.comparison.problem import LayerProblem
from convir.comparison.progress import Progress
from convir.passes.lower_conv import ConvLayer
from convir.selection.trial import relative_error


@dataclass(frozen=True)
class Alone:
    """A layer by itself under one lowering.

    Attributes:
        error: relative error, of the samples that the lowering is timed on; None where those are none.
        allocated_bytes: of arena, as NumPy reports them, for the whole batch.
    """

    error: float | None
    allocated_bytes: int


def measured_alone(
    layers: Mapping[str, LayerProblem], contest: Contest, shown: Progress
) -> dict[tuple[str, str], Alone]:
    """(layer, lowering) -> what it is by itself, for each lowering that is compared."""
    distinct: dict[ConvLayer, LayerProblem] = {}
    for problem in layers.values():
        distinct.setdefault(problem.layer, problem)
    shown.expect(len(distinct))
    found: dict[ConvLayer, dict[str, Alone]] = {}
    for layer, problem in distinct.items():
        found[layer] = _measured(problem, contest)
        shown.advance("layers alone")
    return {(name, each): alone for name, p in layers.items() for each, alone in found[p.layer].items()}


def _measured(problem: LayerProblem, contest: Contest) -> dict[str, Alone]:
    exact: dict[int, list[Array]] = {}
    found: dict[str, Alone] = {}
    for entrant in contest.entrants:
        whole = contender(entrant.lowering, problem.graph, contest.settings)
        allocated = measured_allocation(whole.compiled.program).arena
        timed = _run(entrant, whole, problem, contest)
        error = None
        if timed is not None:
            if entrant.samples not in exact:
                exact[entrant.samples] = contest.exact(timed.compiled.program.model, timed.operands)
            error = relative_error(timed.results, exact[entrant.samples])
        found[entrant.lowering] = Alone(error, allocated)
    return found


def _run(entrant: Entrant, whole: Contender, problem: LayerProblem, contest: Contest) -> Contender | None:
    """The contender that has run as many samples as the entrant is timed on."""
    if entrant.timed is None:
        return None
    if entrant.extrapolated_from is not None:
        samples = max(1, problem.batch * entrant.samples // contest.problem.batch)
        whole = contender(entrant.lowering, problem.at(samples), contest.settings)
    whole.run()
    return whole
