"""Removing what need not be computed: dead nodes and repeated ones."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from convir.ir import Graph, Node, Value
from convir.passes.rewrite import Rewriter, rewrite, sweep


@dataclass(frozen=True)
class EliminateDeadCode:
    """``let y = f(x) in z  =>  z`` when z does not read y"""

    name: str = "eliminate_dead_code"

    def __call__(self, graph: Graph) -> Graph:
        return sweep(graph)


@dataclass(frozen=True)
class EliminateCommonSubexpressions:
    """``y = f(x); z = f(x)  =>  y = f(x); z = y`` for equal op, attributes and operands"""

    name: str = "eliminate_common_subexpressions"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, _Merge(), self.name)


@dataclass
class _Merge:
    """The rule: the first node of each kind stays, later ones are replaced by its results."""

    seen: dict[Hashable, tuple[Value, ...]] = field(default_factory=dict)

    def __call__(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        if node.op.random:
            return None
        key = (node.op, tuple(value.name for value in operands))
        if key not in self.seen:
            # An untouched node keeps its names: nothing else in this rewrite takes them.
            self.seen[key] = node.outputs
            return None
        return self.seen[key]
