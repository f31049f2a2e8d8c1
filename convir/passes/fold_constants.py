"""Evaluating at compile time what does not depend on an input."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convir.ir import ConvirError, Graph, Node, Op, Value
from convir.ir.ops import BroadcastTo, Constant, Literal
from convir.passes.rewrite import Rewriter, rewrite

#: Computes an op on arrays; handed in, because kernels live in another room.
Evaluate = Callable[[Op, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class FoldConstants:
    """``f(constant(a), constant(b))  =>  constant(f(a, b))``

    Repeating a small constant into a large one is left alone: it would trade a little work for memory.

    Attributes:
        evaluate: computes one op on arrays.
    """

    evaluate: Evaluate
    name: str = "fold_constants"

    def __call__(self, graph: Graph) -> Graph:
        return rewrite(graph, self._fold, self.name)

    def _fold(self, rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> Sequence[Value] | None:
        producers = [rewriter.producer(value) for value in operands]
        literals = [p.op.value for p in producers if p is not None and isinstance(p.op, Constant)]
        if not operands or len(literals) < len(operands) or node.op.random or isinstance(node.op, BroadcastTo):
            return None
        results = self._results(node, [literal.array for literal in literals])
        return [
            rewriter.emit(Constant(Literal(result)), name=value.name)
            for result, value in zip(results, node.outputs, strict=True)
        ]

    def _results(self, node: Node, arrays: Sequence[Any]) -> Sequence[Any]:
        """A view of a constant shares its bytes."""
        if node.op.view:
            return [arrays[0].reshape(node.outputs[0].type.shape)]
        return self.evaluate(node.op, arrays)


@dataclass(frozen=True)
class BakeParameters:
    """``param w  =>  constant(w)``: inference on the weights as they are now.

    Attributes:
        arrays: the arrays to bake by parameter name; those that it lacks are read from the model.

    Raises:
        ConvirError: a parameter without array, or with one of another type.
    """

    arrays: Mapping[str, Any] | None = None
    name: str = "bake_parameters"

    def __call__(self, graph: Graph) -> Graph:
        builder = Rewriter(graph, self.name)
        mapping = {value.name: builder.input(value.name, value.type) for value in graph.inputs}
        for value in graph.params:
            mapping[value.name] = builder.emit(Constant(self._literal(graph, value)), name=value.name)
        for node in graph.nodes:
            builder.append(node)
        return builder.finish(graph.outputs, {})

    def _literal(self, graph: Graph, value: Value) -> Literal:
        known = dict(self.arrays or {})
        if value.name not in known and value.name not in graph.bindings:
            raise ConvirError(f"graph {graph.name} does not say where its parameters are: bindings lack {value.name!r}")
        literal = Literal(known[value.name] if value.name in known else graph.bindings[value.name].data)
        if literal.type != value.type:
            raise ConvirError(f"parameter {value} of graph {graph.name} is bound to an array {literal.type}")
        return literal
