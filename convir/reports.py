"""Reports on models that need more than one room: estimate and summary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convir.compiler import as_graph, build, pipeline
from convir.frontend import nn
from convir.ir import Graph, UnsupportedError
from convir.passes import estimate as _costs
from convir.passes.lower_conv import StrategyChoice
from convir.passes.memory import MemoryPlan
from convir.passes.summary import Summary, summarize
from convir.runtime import NUMPY, thread_count
from convir.selection import Limits, with_choosers
from convir.tiling import Target

Model = nn.Module | Callable[..., Any] | Graph


def estimate(model: Model, *specs: Any, conv: StrategyChoice | None = None) -> _costs.CostReport:
    """What a model costs, before it runs and before anything is allocated for it.

    Args:
        model: a module, a function of tensors, or a traced graph.
        specs: shape or TensorType of each input; a graph has its own and takes none.
        conv: the lowering that the as-lowered columns and the memory plans are for; None: that of convir.compile.
            Who chooses chooses as there: ``measure`` runs every strategy once for each shape of which no times are
            kept, and ``auto`` measures the figures of this machine if there are none. Neither runs the model.

    Returns:
        MACs, FLOPs, bytes and parameters of every node, and the bytes of the arenas that
        ``convir.compile`` allocates on this machine, with its number of threads: without a backward
        (``peak_bytes``, for ``wrt=()``) and with one
        (``training_peak_bytes``; None where an op has no gradient or nothing is differentiable).
        ``inference=True`` may fold more away and need less.
    """
    graph = as_graph(model, specs)
    conv = with_choosers(conv, NUMPY, Limits())
    passes = pipeline(conv=conv, wrt=())
    return _costs.estimate(
        graph,
        lowered=build(graph, passes).graphs,
        memory=Target(NUMPY, thread_count()).divide(graph, passes).memory,
        training_memory=_training_plan(graph, conv),
    )


def summary(model: Model, *specs: Any, depth: int | None = None) -> Summary:
    """The layers of a model as a tree of modules, with output shapes, parameters and MACs; prints as a table.

    Args:
        model: a module, a function of tensors, or a traced graph.
        specs: shape or TensorType of each input; a graph has its own and takes none.
        depth: levels of the module tree to show; None for all.
    """
    return summarize(as_graph(model, specs), depth=depth)


def _training_plan(graph: Graph, conv: StrategyChoice | None) -> MemoryPlan | None:
    try:
        division = Target(NUMPY, thread_count()).divide(graph, pipeline(conv=conv))
    except UnsupportedError:
        return None
    return division.memory if division.program.backward is not None else None
