"""Reverse-mode differentiation as a pass: the backward graph is appended to the forward graph.

The method is the usual one for a straight-line program (Griewank and Walther, *Evaluating
Derivatives*, 2008, chapter 3): walk the nodes backwards, turn each result's cotangent into its
operands' cotangents, and add where a value was read more than once.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np

from convir.ir import Builder, ConvirError, Graph, Node, UnsupportedError, Value
from convir.ir.ops import Add, BroadcastTo, Constant, Literal, Reshape
from convir.passes.grad import GRADIENTS, NOT_DIFFERENTIABLE
from convir.passes.rewrite import sweep


@dataclass(frozen=True)
class Differentiate:
    """``y = f(x, w)  =>  y, dx, dw = f(x, w), vjp of f at (x, w) applied to dy``

    The cotangents ``y.grad`` of the outputs ``of`` become inputs after the graph's own; the
    gradients ``x.grad``, ``w.grad`` become outputs after the graph's own, in the order of ``wrt``.

    A graph without floating-point outputs, or without anything to differentiate by, stays as it is.

    Attributes:
        wrt: names of inputs and parameters to differentiate with respect to; None means all
            floating-point ones, without parameters that do not require a gradient.
        of: positions of the outputs to differentiate; None means all floating-point ones.

    Raises:
        UnsupportedError: an op on the way has no gradient; the message says why.
        ConvirError: ``wrt`` names something that is not a floating-point input or parameter, or
            ``of`` something that is not a floating-point output.
    """

    wrt: tuple[str, ...] | None = None
    of: tuple[int, ...] | None = None
    name: str = "differentiate"

    def __call__(self, graph: Graph) -> Graph:
        targets = self.targets(graph)
        of = [graph.outputs[index] for index in self.sources(graph)]
        return _Backward(graph, self.name).run(targets, of) if targets else graph

    def targets(self, graph: Graph) -> tuple[str, ...]:
        """The names that the gradients of ``graph`` stand for, in order."""
        if not self.sources(graph):
            return ()
        return trainable(graph) if self.wrt is None else self.wrt

    def sources(self, graph: Graph) -> tuple[int, ...]:
        """Positions of the outputs of ``graph`` that are differentiated."""
        floats = {i: value for i, value in enumerate(graph.outputs) if value.type.is_float}
        chosen = tuple(floats) if self.of is None else self.of
        unknown = [i for i in chosen if i not in floats]
        if unknown:
            choices = ", ".join(f"{i} ({value})" for i, value in floats.items()) or "none"
            raise ConvirError(f"cannot differentiate output {unknown[0]!r} of {graph.name}; it has {choices}")
        return tuple(chosen)


def trainable(graph: Graph) -> tuple[str, ...]:
    """Names of the floating-point parameters that require a gradient, then of the floating-point inputs."""
    frozen = {name for name, parameter in graph.bindings.items() if not parameter.requires_grad}
    values = (*graph.params, *graph.inputs)
    return tuple(value.name for value in values if value.type.is_float and value.name not in frozen)


class _Backward:
    """One differentiation under way: the joint graph, and the cotangents found so far."""

    def __init__(self, graph: Graph, made_by: str) -> None:
        self.graph = graph
        self.builder = Builder(graph.name, made_by)
        for value in graph.inputs:
            self.builder.input(value.name, value.type)
        for value in graph.params:
            self.builder.param(value.name, value.type)
        for node in graph.nodes:
            self.builder.append(node)
        self.cotangents: dict[str, list[Value]] = {}

    def run(self, wrt: Sequence[str], of: Sequence[Value]) -> Graph:
        leaves = self._leaves(wrt)
        active = self.graph.depends_on(wrt)
        for value in of:
            self._contribute(value, self.builder.input(f"{value.name}.grad", value.type))
        for node in reversed(self.graph.nodes):
            if node.name in active:
                self._differentiate(node)
        grads = [self._gradient(leaf) for leaf in leaves]
        return sweep(self.builder.finish([*self.graph.outputs, *grads], self.graph.bindings))

    def _leaves(self, wrt: Sequence[str]) -> list[Value]:
        known = {value.name: value for value in (*self.graph.params, *self.graph.inputs)}
        for name in wrt:
            if name not in known or not known[name].type.is_float:
                choices = ", ".join(value.name for value in known.values() if value.type.is_float)
                raise ConvirError(f"cannot differentiate {self.graph.name} by {name!r}; it has {choices}")
        return [known[name] for name in wrt]

    def _differentiate(self, node: Node) -> None:
        if any(value.name in self.cotangents for value in node.outputs[1:]):
            raise UnsupportedError("no gradient: gradient rules know ops with one result", node.where)
        if node.name not in self.cotangents:
            return
        rule = GRADIENTS.get(type(node.op))
        if rule is None:
            reason = NOT_DIFFERENTIABLE.get(type(node.op), "no gradient rule is registered for it")
            raise UnsupportedError(f"no gradient: {reason}; compile(..., inference=True) needs none", node.where)
        before = len(self.builder)
        with self.builder.at(node):
            grads = list(rule(self.builder, node, self._total(node.outputs[0])))
        emitted = self.builder.latest(len(self.builder) - before)
        made = {value.name: index for index, each in enumerate(emitted) for value in each.outputs}
        pairs = [(operand, grad) for operand, grad in zip(node.inputs, grads, strict=True) if grad is not None]
        # In the order in which they were made: naming one moves it behind the others.
        for operand, grad in sorted(pairs, key=lambda pair: made.get(pair[1].name, -1)):
            own = grad if grads.count(grad) > 1 else self._named(grad, f"{operand.name}.grad", emitted)
            self._contribute(operand, own)

    def _contribute(self, value: Value, cotangent: Value) -> None:
        self.cotangents.setdefault(value.name, []).append(cotangent)

    def _named(self, grad: Value, name: str, emitted: Sequence[Node]) -> Value:
        """``grad`` renamed after what it is the gradient of, if a rule has just made it and nothing reads it."""
        read = any(value == grad for node in emitted for value in node.inputs)
        made = any(grad in node.outputs for node in emitted)
        return self.builder.rename(grad, name) if made and not read else grad

    def _total(self, value: Value) -> Value:
        """The sum of the contributions to the cotangent of ``value``."""
        total, *rest = self.cotangents[value.name]
        for contribution in rest:
            total = self.builder.emit(Add(), total, contribution, name=f"{value.name}.grad")
        self.cotangents[value.name] = [total]
        return total

    def _gradient(self, leaf: Value) -> Value:
        """The gradient by a leaf; zero where no output depends on it."""
        readers = self.graph.consumers[leaf.name]
        if leaf.name in self.cotangents:
            with self.builder.at(readers[0]) if readers else nullcontext():
                return self._total(leaf)
        zero = self.builder.emit(Constant(Literal(np.zeros((), leaf.type.dtype))))
        name = f"{leaf.name}.grad"
        op = BroadcastTo(leaf.type.shape) if leaf.type.rank else Reshape(())
        return self.builder.emit(op, zero, name=name)
