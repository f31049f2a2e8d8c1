"""The contest: every lowering of a problem, run in turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from convir.comparison.contender import Array, Contender, Operands, contender
from convir.comparison.entrant import Entrant
from convir.comparison.exact import exact_results
from convir.comparison.fit import fit
from convir.comparison.problem import Problem
from convir.comparison.progress import Progress
from convir.comparison.report import LeftOut
from convir.comparison.settings import Settings, passes
from convir.ir import Graph, MemoryLimitError, UnsupportedError
from convir.selection.rounding import relative_error

#: What the float64 reference is computed by, where that ends soon, and otherwise.
LOOPS, PRODUCTS = "naive", "im2col"

#: A contender that takes so many times as long as the fastest is out of the race, and has so many counted runs at most.
HOPELESS, FEW_RUNS = 10.0, 3


@dataclass(frozen=True)
class Contest:
    """What ran, and what did not.

    Attributes:
        problem: what was computed.
        settings: how.
        entrants: one for each lowering that was compared.
        left_out: the others.
    """

    problem: Problem
    settings: Settings
    entrants: Sequence[Entrant]
    left_out: tuple[LeftOut, ...]

    @property
    def threads(self) -> int:
        """How many BLAS really used: what is compared is one problem, so it is the same for all."""
        return self.entrants[0].whole.threads

    @property
    def reference(self) -> str:
        """Name of the strategy that computes, in float64, what errors are relative to.

        The loop nest takes seconds soon, so it is the reference only where it is compared and a run of it took a
        quarter of the time budget at most.
        """
        for entrant in self.entrants:
            if entrant.lowering == LOOPS and entrant.extrapolated_from is None:
                return LOOPS if entrant.runs[0].total <= self.settings.time_budget / 4 else PRODUCTS
        return PRODUCTS

    def exact(self, graph: Graph, operands: Operands) -> list[Array]:
        """Results in float64."""
        return exact_results(graph, passes(self.reference, self.settings.backward), operands)

    def errors(self) -> Mapping[str, float | None]:
        """The relative error of each lowering, of the samples that were timed."""
        exact: dict[int, list[Array]] = {}
        errors: dict[str, float | None] = {}
        for entrant in self.entrants:
            timed = entrant.timed
            if timed is not None:
                if entrant.samples not in exact:
                    exact[entrant.samples] = self.exact(self.problem.at(entrant.samples), timed.operands)
                errors[entrant.lowering] = relative_error(timed.results, exact[entrant.samples])
        return errors


def steps_of(names: Sequence[str], settings: Settings) -> int:
    """How many steps :func:`hold` shows: each is compiled, and runs."""
    return len(names) * (settings.repeats + 2)


def hold(problem: Problem, names: Sequence[str], settings: Settings, shown: Progress) -> Contest:
    """Compile the lowerings called ``names`` and run them in turns, each as much of the batch as ends in time.

    Raises:
        MemoryLimitError: the memory plan of every one is larger than the machine.
        UnsupportedError: there is nothing to differentiate by, and settings ask for a backward.
    """
    entrants, left_out = _entered(problem, names, settings, shown)
    if settings.backward and entrants[0].whole.compiled.backward_graph is None:
        raise UnsupportedError(f"backward=True, but there is nothing to differentiate {problem.graph.name} by")
    for entrant in entrants:
        fit(entrant, problem, settings)
    _share_operands(entrants)
    racing = [each.timed for each in entrants if each.timed]
    take_turns(racing, settings.repeats, settings.time_budget, shown)
    shown.advance(entrants[-1].lowering, (len(names) - len(racing)) * (settings.repeats + 1))
    return Contest(problem, settings, entrants, left_out)


def take_turns(contenders: Sequence[Contender], repeats: int, time_budget: float, shown: Progress) -> None:
    """Run the contenders in turns: a warm-up and ``repeats`` runs each, less where its time is used up.

    Each round has an order of its own, as a run leaves the next one its caches. Those without hope come last, by
    themselves: between the others they would leave them nothing.
    """
    order = Random(0)
    # The first run of all finds its memory untouched, and says little.
    _rounds(contenders, 2, order, time_budget, shown)
    limit = HOPELESS * min((each.fastest for each in contenders), default=0.0)
    hopeful = [each for each in contenders if each.fastest <= limit]
    hopeless = [each for each in contenders if each.fastest > limit]
    _rounds(hopeful, repeats - 1, order, time_budget, shown)
    few = min(repeats, FEW_RUNS)
    _rounds(hopeless, few - 1, order, time_budget, shown)
    for each in hopeless:
        shown.advance(each.lowering, repeats - few)


def _rounds(contenders: Sequence[Contender], count: int, order: Random, time_budget: float, shown: Progress) -> None:
    for _ in range(count):
        for each in order.sample(contenders, len(contenders)):
            if each.has_time_left(time_budget):
                each.run()
            shown.advance(each.lowering)


def _entered(
    problem: Problem, names: Sequence[str], settings: Settings, shown: Progress
) -> tuple[list[Entrant], tuple[LeftOut, ...]]:
    """Those that fit the machine's memory, and those that do not."""
    entrants: list[Entrant] = []
    left_out: list[LeftOut] = []
    graph = problem.graph
    for name in names:
        try:
            with shown.aside():
                entrants.append(Entrant(contender(name, graph, settings), problem.batch))
        except MemoryLimitError as error:
            left_out.append(LeftOut(name, error.message))
            last = error
        shown.advance(f"{name}, compiled")
    if not entrants:
        raise last
    return entrants, tuple(left_out)


def _share_operands(entrants: Sequence[Entrant]) -> None:
    """Those that time as many samples get the same arrays, not equal ones."""
    shared: dict[int, Operands] = {}
    for entrant in entrants:
        if entrant.timed is not None:
            entrant.timed.operands = shared.setdefault(entrant.samples, entrant.timed.operands)
