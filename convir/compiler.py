"""From a model to something that runs: the pipeline as one literal list, the split, the memory plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convir.frontend import nn, trace
from convir.ir import ConvirError, Graph, UnsupportedError, Value, verify
from convir.passes.absorb_transposes import AbsorbTransposes
from convir.passes.assign_layout import AssignLayout
from convir.passes.differentiate import Differentiate
from convir.passes.dropout import RemoveDropout
from convir.passes.eliminate import EliminateCommonSubexpressions, EliminateDeadCode
from convir.passes.fold_constants import BakeParameters, FoldConstants
from convir.passes.fuse_regions import FuseRegions
from convir.passes.fuse_relu import FuseRelu
from convir.passes.lower_conv import LowerConv, Lowering, StrategyChoice, lowering
from convir.passes.lower_pool import LowerPool
from convir.passes.manager import Pass, Stage, run_passes
from convir.passes.memory import MemoryPlan, plan_memory
from convir.passes.pool_blocks import PoolBlocks
from convir.passes.sink_epilogue import SinkEpilogue
from convir.passes.split import split
from convir.runtime import NUMPY, KernelSet, evaluate, kernels_for

#: How pooling runs: one vectorised step for each kernel tap, or explicit loops.
POOLS = ("taps", "naive")


def pipeline(
    *,
    conv: StrategyChoice | None = None,
    pool: str = "taps",
    inference: bool = False,
    wrt: Sequence[str] | None = None,
    of: Sequence[int] | None = None,
    backend: str = "numpy",
) -> list[Pass]:
    """The passes that :func:`convir.compile` runs, in order: insert your own and hand the list to it.

    Args:
        conv: lowering strategy for all convolutions, or one for each by node, module or pattern; None, and for
            those that are not named, the one that suits the backend.
        pool: ``taps`` (vectorised) or ``naive`` (explicit loops, the reference).
        inference: snapshot the parameters and fold what follows from them; no backward.
        wrt: names of the parameters and inputs to differentiate by, or one name; None for all.
        of: positions of the outputs to differentiate; None for all.
        backend: what the graph is for: one that runs several ops as one loop nest gets them grouped.

    Raises:
        UnsupportedError: an unknown way of pooling, or an unknown or missing backend.
    """
    if pool not in POOLS:
        raise UnsupportedError(f"unknown pool={pool!r}; there are: {', '.join(POOLS)}")
    lower_pool = [LowerPool()] if pool == "taps" else []
    kernels = kernels_for(backend)
    lower_conv = LowerConv({} if conv is None else conv, kernels.conv)
    fuse_regions = [FuseRegions()] if kernels.fuses else []
    wrt = (wrt,) if isinstance(wrt, str) else wrt
    if inference:
        return [
            BakeParameters(),
            RemoveDropout(),
            FuseRelu(),
            SinkEpilogue(),
            lower_conv,
            *lower_pool,
            AssignLayout(),
            PoolBlocks(),
            AbsorbTransposes(),
            FoldConstants(evaluate),
            EliminateCommonSubexpressions(),
            EliminateDeadCode(),
            *fuse_regions,
        ]
    return [
        FoldConstants(evaluate),
        EliminateCommonSubexpressions(),
        FuseRelu(),
        SinkEpilogue(for_training=True),
        Differentiate(None if wrt is None else tuple(wrt), None if of is None else tuple(of)),
        lower_conv,
        *lower_pool,
        AssignLayout(),
        PoolBlocks(),
        AbsorbTransposes(),
        EliminateCommonSubexpressions(),
        EliminateDeadCode(),
        *fuse_regions,
    ]


@dataclass(frozen=True)
class Program:
    """One specialisation of a model, compiled but not allocated.

    Attributes:
        model: the traced graph.
        passes: the pipeline that made it.
        stages: every pass with its graph; then the two halves.
        forward: what runs for an answer; its first outputs are the model's.
        backward: what runs for gradients, or None.
        wrt: what the backward's outputs are the gradients of, in order.
        of: positions of the model's outputs that are differentiated.
        cotangents: the backward's inputs that the caller passes, one for each.
        memory: where everything lives.
        kernels: what runs the nodes.
    """

    model: Graph
    passes: tuple[Pass, ...]
    stages: tuple[Stage, ...]
    forward: Graph
    backward: Graph | None
    wrt: tuple[str, ...]
    of: tuple[int, ...]
    cotangents: tuple[Value, ...]
    memory: MemoryPlan
    kernels: KernelSet

    @property
    def lowering(self) -> Lowering:
        """How the pipeline lowered each convolution, and why."""
        return lowering(self.stages, self.passes)

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """Forward, and backward where there is one."""
        return (self.forward,) if self.backward is None else (self.forward, self.backward)

    @property
    def parameters(self) -> dict[str, Any]:
        """The live parameters that the program reads, by name."""
        names = {value.name for graph in self.graphs for value in graph.params}
        return {name: parameter for name, parameter in self.model.bindings.items() if name in names}


def as_graph(model: nn.Module | Callable[..., Any] | Graph, specs: Sequence[Any]) -> Graph:
    """``model`` traced with these specs, or the traced graph that it is; raises ConvirError for a graph with specs."""
    if not isinstance(model, Graph):
        return trace(model, *specs)
    if specs:
        raise ConvirError("a traced graph has its input shapes and takes no others; see convir.infer_shapes")
    return model


def build(graph: Graph, passes: Sequence[Pass], kernels: KernelSet = NUMPY) -> Program:
    """Run the passes, divide forward from backward, and plan the memory.

    Raises:
        VerifyError: a pass broke the graph.
        UnsupportedError: an unknown strategy, an op without gradient or kernel.
    """
    stages = run_passes(graph, passes)
    wrt, of = _differentiated(stages, passes)
    joint = stages[-1].graph
    model_values = _model_values(stages, passes)
    if not wrt:
        memory = plan_memory([joint], kernels, model_values)
        return Program(graph, tuple(passes), stages, joint, None, (), (), (), memory, kernels)
    begin = time.perf_counter()
    cotangents = joint.inputs[len(graph.inputs) :]
    halves = split(joint, len(graph.outputs), [value.name for value in cotangents])
    for half in (halves.forward, halves.backward):
        verify(half, after="split")
    seconds = time.perf_counter() - begin
    both = (Stage("split_forward", halves.forward, seconds), Stage("split_backward", halves.backward, seconds))
    memory = plan_memory([halves.forward, halves.backward], kernels, model_values)
    stages = (*stages, *both)
    return Program(graph, tuple(passes), stages, halves.forward, halves.backward, wrt, of, cotangents, memory, kernels)


def _model_values(stages: Sequence[Stage], passes: Sequence[Pass]) -> set[str]:
    """Names of all values before anything is lowered: the model's, and its derivative's."""
    differentiated = (i for i, transform in enumerate(passes, 1) if isinstance(transform, Differentiate))
    last = next(differentiated, 0)
    return {value.name for stage in stages[: last + 1] for value in stage.graph.values()}


def _differentiated(stages: Sequence[Stage], passes: Sequence[Pass]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """What the gradients are by (names) and of (positions of outputs); empty without differentiation."""
    for stage, transform in zip(stages, passes, strict=False):
        if isinstance(transform, Differentiate):
            return transform.targets(stage.graph), transform.sources(stage.graph)
    return (), ()
