"""Which values share memory, and from when to when: exact liveness for straight-line code."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from convir.ir import Graph, Node, TensorType, Value
from convir.ir.ops import Constant

#: Buffers start at multiples of this many bytes: a cache line, and the widest vector register.
ALIGNMENT = 64


class Kernels(Protocol):
    """What the plan needs to know of how nodes run; handed in by the runtime."""

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """Types of the temporary arrays that ``node`` works in."""

    def inplace(self, node: Node) -> tuple[int, ...]:
        """Operands whose array ``node`` may overwrite with its result."""

    def watched(self, node: Node) -> Sequence[Value]:
        """Operands and results of ``node`` that are looked at when its graph has run."""


class OpsAlone:
    """No temporary arrays, and in place what the op says."""

    def scratch(self, node: Node) -> Sequence[TensorType]:
        return ()

    def inplace(self, node: Node) -> tuple[int, ...]:
        return node.op.inplace

    def watched(self, node: Node) -> Sequence[Value]:
        return ()


@dataclass(frozen=True)
class Buffer:
    """A range of the arena over a range of time.

    Attributes:
        values: names of the values that live here: one, its views, and what is computed in place.
        nbytes: its size; it takes this rounded up to the alignment.
        first: step at which it is first written.
        last: step at which it is last read.
        kind: input, activation, gradient or scratch.
        op: name of the op that first writes it; ``input`` for what the caller passes.
        offset: where it starts in the arena, in bytes.
    """

    values: tuple[str, ...]
    nbytes: int
    first: int
    last: int
    kind: str
    op: str
    offset: int = -1

    @cached_property
    def room(self) -> int:
        """Bytes that it takes in the arena."""
        return -(-self.nbytes // ALIGNMENT) * ALIGNMENT


def steps(graphs: Sequence[Graph]) -> Iterator[tuple[int, Node]]:
    """Every node with the step at which it runs; the steps between graphs are the caller's."""
    step = 0
    for graph in graphs:
        for node in graph.nodes:
            step += 1
            yield step, node
        step += 1


class Liveness:
    """Which values share a buffer, and from when to when it lives."""

    def __init__(self, graphs: tuple[Graph, ...], model_values: Collection[str] | None, kernels: Kernels) -> None:
        self.graphs = graphs
        self.kernels = kernels
        self.model_values = model_values
        self.inputs = _names(graphs[0].inputs)
        self.results = _names(value for graph in graphs for value in graph.outputs)
        made = _names(graphs[0].values())
        self.kept = _names(value for graph in graphs[1:] for value in graph.inputs if value.name in made)
        cotangents = [value.name for graph in graphs[1:] for value in graph.inputs if value.name not in made]
        self.late = graphs[-1].depends_on(cotangents)
        self.last_read = self._last_reads()
        self.root: dict[str, str] = {}
        self.members: dict[str, list[Value]] = {}
        self.first: dict[str, int] = {}
        # What nobody reads still lives at the step that writes it.
        self.last: dict[str, int] = {}
        self.maker: dict[str, Node | None] = {}
        self._assign()

    def buffers(self) -> Iterator[Buffer]:
        for root, members in self.members.items():
            names = tuple(value.name for value in members)
            maker = self.maker[root]
            op = maker.op.name if maker else "input"
            yield Buffer(names, members[0].type.nbytes, self.first[root], self.last[root], self._kind(members), op)

    def _last_reads(self) -> dict[str, int]:
        """Value name -> last step that reads it; outputs are read right after their graph, as is what is watched."""
        last: dict[str, int] = {}
        for step, node in steps(self.graphs):
            last.update((value.name, step) for value in node.inputs)
        step = 0
        for graph in self.graphs:
            step += len(graph.nodes) + 1
            watched = [value for node in graph.nodes for value in self.kernels.watched(node)]
            last.update((value.name, max(step, last.get(value.name, 0))) for value in (*graph.outputs, *watched))
        return last

    def _assign(self) -> None:
        step = 0
        for graph in self.graphs:
            for value in graph.inputs:
                if value.name not in self.root:
                    self._open(value, step, None)
            for node in graph.nodes:
                step += 1
                self._assign_node(node, step)
            step += 1

    def _assign_node(self, node: Node, step: int) -> None:
        if isinstance(node.op, Constant):
            return
        if node.op.view:
            self._join(node.outputs[0], node.inputs[0])
            return
        host = self._inplace_host(node, step)
        if host is not None:
            self._join(node.outputs[0], host)
            return
        for value in node.outputs:
            self._open(value, step, node)

    def _inplace_host(self, node: Node, step: int) -> Value | None:
        """An operand whose buffer dies here and fits the result."""
        for slot in self.kernels.inplace(node) if len(node.outputs) == 1 else ():
            operand = node.inputs[slot]
            root = self.root.get(operand.name)
            if root is None or operand.type != node.outputs[0].type:
                continue
            if self.last[root] <= step:
                return operand
        return None

    def _open(self, value: Value, step: int, maker: Node | None) -> None:
        self.root[value.name] = value.name
        self.members[value.name] = [value]
        self.first[value.name] = step
        self.last[value.name] = max(step, self.last_read.get(value.name, step))
        self.maker[value.name] = maker

    def _join(self, value: Value, host: Value) -> None:
        """Put ``value`` where ``host`` lives; a view of a parameter lives outside the arena like it."""
        if host.name in self.root:
            root = self.root[value.name] = self.root[host.name]
            self.members[root].append(value)
            self.last[root] = max(self.last[root], self.last_read.get(value.name, 0))

    def _kind(self, members: Sequence[Value]) -> str:
        """The kind of a buffer: that of the first value that is more than scratch."""
        kinds = [self._value_kind(value.name) for value in members]
        return next((kind for kind in kinds if kind != "scratch"), "scratch")

    def _value_kind(self, name: str) -> str:
        if name in self.inputs:
            return "input"
        if name in self.late and (name in self.results or not self._is_scratch(name)):
            return "gradient"
        if name in self.kept or name in self.results or not self._is_scratch(name):
            return "activation"
        return "scratch"

    def _is_scratch(self, name: str) -> bool:
        """Whether the value exists only because of how another is computed: patch matrices, padded copies."""
        node = next((graph.producers[name] for graph in self.graphs if name in graph.producers), None)
        if self.model_values is None or node is None:
            return False
        return (node.recomputes or name) not in self.model_values


def _names(values: Iterable[Value]) -> set[str]:
    return {value.name for value in values}
