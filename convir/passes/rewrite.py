"""Rewriting graphs: walk the nodes in order and re-emit them, letting a rule replace some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from convir.ir import Builder, Graph, Node, Op, Value, VerifyError

#: ``rule(rewriter, node, operands)`` returns the replacement results, or None to leave the node alone.
#: ``node`` is the old node, ``operands`` are its operands in the new graph.
Rule = Callable[["Rewriter", Node, tuple[Value, ...]], "Value | Sequence[Value] | None"]


class Rewriter(Builder):
    """A builder that knows the graph being rewritten."""

    def __init__(self, graph: Graph, made_by: str) -> None:
        super().__init__(graph.name, made_by)
        self.graph = graph
        self.replacing = ""
        self._uses = Counter(value.name for node in graph.nodes for value in node.inputs)
        self._uses.update(value.name for value in graph.outputs)

    def used_once(self, old: Value) -> bool:
        """Whether ``old``, a value of the graph being rewritten, is read by one operand slot only."""
        return self._uses[old.name] == 1

    def emit_all(self, op: Op, operands: Sequence[Value], name: str = "") -> tuple[Value, ...]:
        """Append a node; unless told otherwise it is named after the node it helps to replace."""
        return super().emit_all(op, operands, name or f"{self.replacing}.{op.name}")


def rewrite(graph: Graph, rule: Rule, made_by: str) -> Graph:
    """A new graph in which ``rule`` has had its say on every node; dead nodes are swept.

    Emitted nodes inherit scope, source and origin of the node that they replace, and keep its name
    where the rule leaves it free.
    """
    rewriter = Rewriter(graph, made_by)
    mapping = {value.name: rewriter.input(value.name, value.type) for value in graph.inputs}
    mapping |= {value.name: rewriter.param(value.name, value.type) for value in graph.params}
    for node in graph.nodes:
        operands = tuple(mapping[value.name] for value in node.inputs)
        rewriter.replacing = node.name
        with rewriter.at(node):
            replaced = rule(rewriter, node, operands)
        results = _copy(rewriter, node, operands) if replaced is None else _as_tuple(replaced)
        for old, new in zip(node.outputs, results, strict=True):
            _require_same_type(node, old, new, made_by)
            mapping[old.name] = new
    outputs = [mapping[value.name] for value in graph.outputs]
    return sweep(rewriter.finish(outputs, graph.bindings))


def sweep(graph: Graph) -> Graph:
    """The graph without nodes and parameters that no output depends on; inputs stay."""
    needed = {value.name for value in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(value.name in needed for value in node.outputs):
            kept.append(node)
            needed.update(value.name for value in node.inputs)
    params = tuple(value for value in graph.params if value.name in needed)
    return graph.replace(nodes=tuple(reversed(kept)), params=params)


def _require_same_type(node: Node, old: Value, new: Value, made_by: str) -> None:
    if new.type != old.type:
        raise VerifyError(f"{node.where}: {old} is replaced by {new}, of another type", f"pass {made_by}")


def _copy(rewriter: Rewriter, node: Node, operands: tuple[Value, ...]) -> tuple[Value, ...]:
    """Re-emit an untouched node, with its own provenance; its types may have changed."""
    types = node.op.infer(*(value.type for value in operands))
    outputs = tuple(Value(rewriter.reserve(old.name), type) for old, type in zip(node.outputs, types, strict=True))
    rewriter.append(replace(node, inputs=operands, outputs=outputs))
    return outputs


def _as_tuple(replaced: Value | Sequence[Value]) -> tuple[Value, ...]:
    return (replaced,) if isinstance(replaced, Value) else tuple(replaced)
