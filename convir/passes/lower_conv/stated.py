"""What a strategy says of a layer before anything runs: operations, memory, bytes moved, rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from convir.ir import Graph, UnsupportedError
from convir.ir.ops import ACTIVATIONS
from convir.passes.absorb_transposes import AbsorbTransposes
from convir.passes.assign_layout import AssignLayout
from convir.passes.cost import Cost, Work, work_of
from convir.passes.cost.activation import PER_ELEMENT
from convir.passes.differentiate import Differentiate
from convir.passes.eliminate import EliminateCommonSubexpressions
from convir.passes.liveness import Kernels
from convir.passes.lower_conv.bounds import unit_roundoff
from convir.passes.lower_conv.layer import WEIGHT, ConvLayer
from convir.passes.lower_conv.parts import Parts
from convir.passes.lower_conv.strategy import Strategy
from convir.passes.manager import Pass
from convir.passes.memory import MemoryPlan, plan_memory
from convir.passes.rewrite import rewrite, sweep
from convir.passes.split import split


@dataclass(frozen=True)
class Statement:
    """What a strategy executes for a layer, forward and for the gradients that the layer computes.

    Attributes:
        strategy: its name.
        layer: the problem.
        operations: scalar operations of each part by itself, by the strategy's formula.
        cost: operations of all parts that the layer computes and of its activation's gradient. What both gradients
            share counts once. What forward and backward share counts twice: it is computed again rather than kept, as
            long as it takes more memory than what it is computed from (one Winograd tile by itself takes as much).
        error_bound: what rounding costs each part at most, as a multiple of its scale: see
            :mod:`convir.passes.lower_conv.bounds`.
        scratch_bytes: bytes of what is neither image, weight, result nor gradient, of the step at which it is most.
        peak_bytes: bytes of the arena of the layer alone: image, result, gradients and scratch, without parameters.
        bytes_moved: bytes that the lowered nodes read and write, see :func:`convir.passes.cost.traffic`.
    """

    strategy: str
    layer: ConvLayer
    operations: Parts[Cost]
    cost: Cost
    error_bound: Parts[float]
    scratch_bytes: int
    peak_bytes: int
    bytes_moved: int

    @property
    def flops(self) -> int:
        """Floating-point operations of the multiply-accumulates, 2 each."""
        return self.cost.flops

    @property
    def multiplications(self) -> int:
        """Multiplications of data with data."""
        return self.cost.multiplications

    @property
    def intensity(self) -> float:
        """Arithmetic intensity: (FLOPs + pointwise) per byte moved."""
        return (self.cost.flops + self.cost.pointwise) / self.bytes_moved

    @property
    def largest_error(self) -> float:
        """The largest bound of the parts that the layer computes."""
        return max(self.error_bound.computed(self.layer).values())


def stated(
    strategy: Strategy, layer: ConvLayer, kernels: Kernels | None = None, after: Sequence[Pass] = ()
) -> Statement:
    """What ``strategy`` says of ``layer``.

    Operations and error bounds are closed forms. Scratch and bytes are those of the lowered graph and its memory plan,
    since they depend on what is in place, alive at the same time, or computed again for a gradient: a formula of them
    would be a second planner.

    Args:
        strategy: one that takes the layer.
        layer: shapes, gradients, and whether the weight is frozen.
        kernels: what runs the nodes, for the arrays that they work in; by default they need none.
        after: passes that the backend runs behind the lowering, e.g. that which makes regions.

    Raises:
        UnsupportedError: the strategy refuses the layer.
    """
    plan = planned(strategy, layer, kernels, after)
    return Statement(
        strategy.name,
        layer,
        strategy.operations(layer),
        total_cost(strategy, layer),
        strategy.error_bound(layer, unit_roundoff(layer.image.dtype)),
        plan.scratch_peak,
        plan.peak_bytes,
        Work.total(work_of(node) for graph in plan.graphs for node in graph.nodes).bytes_moved,
    )


def planned(
    strategy: Strategy, layer: ConvLayer, kernels: Kernels | None = None, after: Sequence[Pass] = ()
) -> MemoryPlan:
    """The memory plan of the graphs that :func:`executed` gives, with the arguments of :func:`stated`."""
    return plan_memory(executed(strategy, layer, after), kernels, _own_values(layer))


def total_cost(strategy: Strategy, layer: ConvLayer) -> Cost:
    """:attr:`Statement.cost`, by the formulas alone."""
    parts = sum(strategy.operations(layer).computed(layer).values(), activation_gradient(layer))
    return parts - strategy.shared(layer) if len(layer.gradients) > 1 else parts


def executed(strategy: Strategy, layer: ConvLayer, after: Sequence[Pass] = ()) -> tuple[Graph, ...]:
    """The graphs that run: forward, or forward and backward, lowered and laid out as in a compiled network.

    What follows from a frozen weight alone is a parameter.

    Raises:
        UnsupportedError: the strategy refuses the layer.
    """
    reason = strategy.refuses(layer.op, layer.image, layer.weight)
    if reason is not None:
        raise UnsupportedError(f"the strategy {strategy.name} cannot compute {layer}: it {reason}")
    graph = rewrite(differentiated(layer), strategy.lower, "lower_conv")
    settle: list[Pass] = [AssignLayout(), AbsorbTransposes(), EliminateCommonSubexpressions()]
    for transform in (*settle, *after):
        graph = transform(graph)
    if layer.frozen:
        graph = without_frozen(graph)
    if not layer.gradients:
        return (graph,)
    halves = split(graph, 1, [graph.inputs[-1].name])
    return halves.forward, halves.backward


def differentiated(layer: ConvLayer) -> Graph:
    """The layer alone with its gradients, before it is lowered."""
    return Differentiate(layer.gradients)(layer.alone()) if layer.gradients else layer.alone()


def without_frozen(graph: Graph) -> Graph:
    """``graph`` with what follows from the weight alone, computed beforehand, as parameters."""
    live = graph.depends_on(value.name for value in (*graph.inputs, *graph.params) if value.name != WEIGHT)
    nodes = tuple(node for node in graph.nodes if node.name in live)
    read = [value for node in nodes for value in node.inputs if value.name not in live]
    params = {value.name: value for value in (*graph.params, *read)}
    return sweep(graph.replace(nodes=nodes, params=tuple(params.values()), bindings={}))


def activation_gradient(layer: ConvLayer) -> Cost:
    """What the cotangent goes through before any strategy sees it, where there are gradients."""
    activation = layer.op.activation
    if activation is None or not layer.gradients:
        return Cost()
    return Cost(pointwise=PER_ELEMENT[ACTIVATIONS[activation][1]] * layer.result.size)


def _own_values(layer: ConvLayer) -> set[str]:
    """Names of the values that are not scratch: those of the layer before it is lowered."""
    return {value.name for value in differentiated(layer).values()}
