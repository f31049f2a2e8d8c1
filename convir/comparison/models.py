"""The lowerings of a whole model side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convir.comparison.alone import measured_alone
from convir.comparison.contest import LOOPS, PRODUCTS, Contest, hold, steps_of
from convir.comparison.prediction import ceilings
from convir.comparison.problem import ModelProblem, layers_of
from convir.comparison.progress import progress_on
from convir.comparison.report import Comparison, LeftOut
from convir.comparison.rows import model_rows
from convir.comparison.settings import checked_lowerings, checked_settings
from convir.compiler import as_graph
from convir.frontend import nn
from convir.ir import Graph
from convir.passes.lower_conv import STRATEGIES, LowerConv
from convir.selection import Auto


def compare(
    model: nn.Module | Callable[..., Any] | Graph,
    *specs: Any,
    lowerings: Sequence[str] | None = ("naive", "im2col"),
    backward: bool = False,
    repeats: int = 20,
    time_budget: float = 5.0,
    backend: str = "numpy",
    threads: int | None = None,
    inference: bool = False,
    progress: bool | None = None,
) -> Comparison:
    """Compile a model under each lowering, run all on the same weights and inputs, and compare.

    The lowerings take turns, in another order each time, so that neither a machine that gets slower nor what the one
    before left in the caches favours any. A lowering whose time budget is used up stops early, after one run at least,
    and one that takes ten times as long as the fastest has three counted runs at most; a first run that is followed by
    others is a warm-up and is not counted. Dropout is left out.

    A lowering that would take longer than its budget for one run is timed on a smaller batch, and its times are as
    many times more; explicit Python loops whose budget is too short for one sample are timed on a small part of each
    layer. Either is marked (:attr:`ComparisonRow.extrapolated_from`).

    Times, scratch and peaks of layers are those in the net. The error of a convolution and what is allocated for it
    are found by itself, once for all layers of one shape.

    The batch is not divided, and steps run one after the other in one thread: in lanes side by side no layer has a
    time of its own. BLAS may use ``threads``. So ``convir.compile`` with its tiles and lanes may be faster.

    Predicted times, and what the machine can do at most, follow from a few figures that are measured when they are
    first asked for (a second) and kept on disk.

    Args:
        model: a module, a function of tensors, or a traced graph.
        specs: shape or TensorType of each input; a graph has its own and takes none.
        lowerings: names of the strategies to compare; ``auto`` and ``measure``, who choose one for each layer, compete
            beside them; None for ``auto`` and the strategies that take every convolution. One that refuses a layer
            leaves it to another (:attr:`ComparisonRow.computed_by`). Of a model without convolution the first is run:
            the others would run the same kernels.
        backward: compare a forward and a backward run together instead of a forward run.
        repeats: counted runs of each lowering at most.
        time_budget: seconds that the runs of each lowering may take. What errors are relative to comes on
            top: runs in float64, by the loop nest where ``naive`` is compared and takes a quarter of it at most.
        backend: ``numpy``, ``numba`` or ``auto``, as in :func:`convir.compile`; the float64 reference is NumPy's.
        threads: how many threads BLAS may use; None for ``CONVIR_NUM_THREADS``, or all CPUs. :attr:`Comparison.threads`
            says how many it used.
        inference: fold the parameters, as :func:`convir.compile` does: transforms of weights take no time then.
        progress: whether to show a bar on standard error; by default where that is a terminal.

    Raises:
        TraceError, ShapeError, DTypeError: the model cannot be traced with these shapes.
        UnsupportedError: an unknown lowering, one named twice, no lowering, ``repeats`` or ``time_budget``
            out of range, an unknown or missing backend, ``backward`` of a model without gradients, or
            ``backward`` and ``inference``.
        ConvirError: ``threads`` is not a positive integer.
        MemoryLimitError: the memory plans of all lowerings are larger than the machine.
    """
    given = None if lowerings is None else checked_lowerings(lowerings)
    settings = checked_settings(backward, repeats, time_budget, backend, threads, inference)
    graph = as_graph(model, specs)
    names, left_out = usual_lowerings(graph) if given is None else _different(given, graph)
    problems = layers_of(graph)
    layers = {name: problem.layer for name, problem in problems.items()}
    with progress_on(progress) as shown:
        shown.expect(steps_of(names, settings) + len(set(layers.values())))
        contest = hold(ModelProblem(graph), names, settings, shown)
        alone = measured_alone(problems, contest, shown)
    return Comparison(
        graph=graph.name,
        inputs=tuple((value.name, str(value.type)) for value in graph.inputs),
        backward=backward,
        reference=named_reference(contest),
        rows=model_rows(graph, contest, alone),
        roofline=ceilings(contest.entrants[0].whole),
        convolutions=layers,
        backend=settings.backend,
        threads=contest.threads,
        inference=settings.inference,
        left_out=(*left_out, *contest.left_out),
    )


def usual_lowerings(graph: Graph) -> tuple[list[str], list[LeftOut]]:
    """Names of the strategies that take every convolution, and of who chooses without trying; and the others.

    Without a convolution there is nothing to choose, and nothing is left out.
    """
    count = len(layers_of(graph))
    if not count:
        return [PRODUCTS], []
    refused = {each.name: LowerConv(each).lowering(graph).refused for each in STRATEGIES}
    left_out = [
        LeftOut(
            name,
            f"refuses {len(rows)} of {count} convolutions ({rows[0].node}: {rows[0].reason.removeprefix(f'{name} ')})",
        )
        for name, rows in refused.items()
        if rows
    ]
    return [*(name for name, rows in refused.items() if not rows), Auto.name], left_out


def _different(names: list[str], graph: Graph) -> tuple[list[str], list[LeftOut]]:
    """Those of the lowerings that make a difference, and the others: without a convolution none does."""
    if layers_of(graph):
        return names, []
    reason = f"would run the same kernels as {names[0]}, as there is no convolution"
    return names[:1], [LeftOut(name, reason) for name in names[1:]]


def named_reference(contest: Contest) -> str:
    """What errors are relative to, in words."""
    return "float64 loop nest" if contest.reference == LOOPS else f"float64 {contest.reference}"
