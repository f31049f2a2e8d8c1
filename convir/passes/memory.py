"""The memory plan: every intermediate gets a place in one arena, by the time it lives.

Liveness is exact for straight-line code. Views share their operand's buffer, an element-by-element
result takes over the buffer of an operand that dies there, and the remaining buffers are placed
largest first at the lowest offset that is free while they live (Pisarchyk and Lee, *Efficient Memory
Management for Deep Neural Net Inference*, 2020, "greedy by size for offset calculation").
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from convir.ir import Graph, Node, TensorType, Value
from convir.ir.ops import Constant
from convir.passes.memory_table import memory_json, memory_table

#: Buffers start at multiples of this many bytes: a cache line, and the widest vector register.
ALIGNMENT = 64

#: Types of the temporary arrays that the kernel of a node works in; handed in by the runtime.
ScratchRule = Callable[[Node], Sequence[TensorType]]


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


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lives while a program runs.

    Attributes:
        graphs: the graphs that run one after the other: forward, or forward and backward.
        buffers: every buffer with its offset.
        peak_bytes: size of the arena: exactly what the runtime allocates.
        parameter_bytes: bytes of parameters and constants, which live outside the arena.
    """

    graphs: tuple[Graph, ...]
    buffers: tuple[Buffer, ...]
    peak_bytes: int
    parameter_bytes: int

    @cached_property
    def buffer_of(self) -> Mapping[str, Buffer]:
        """Value name -> its buffer; parameters, constants and their views have none."""
        return {name: buffer for buffer in self.buffers for name in buffer.values}

    @property
    def total_bytes(self) -> int:
        """Arena and parameters together."""
        return self.peak_bytes + self.parameter_bytes

    @cached_property
    def peak_step(self) -> int:
        """The step at which the live buffers add up to the most."""
        steps = {buffer.first for buffer in self.buffers} or {0}
        return max(sorted(steps), key=lambda step: sum(b.room for b in self.alive(step)))

    def __str__(self) -> str:
        return str(memory_table(self))

    def to_json(self) -> dict[str, Any]:
        """The plan as plain types: see :func:`convir.passes.memory_table.memory_json`."""
        return memory_json(self)

    def alive(self, step: int) -> list[Buffer]:
        """The buffers that are alive at ``step``."""
        return [buffer for buffer in self.buffers if buffer.first <= step <= buffer.last]

    def peak_by_kind(self) -> dict[str, int]:
        """Bytes of each kind that are alive at the peak; with fragmentation they add up to the arena."""
        live = self.alive(self.peak_step)
        split = {kind: sum(b.room for b in live if b.kind == kind) for kind in KINDS}
        return {**split, "fragmentation": self.peak_bytes - sum(split.values())}

    def total_by_kind(self) -> dict[str, int]:
        """Bytes of all buffers of each kind, whenever they live: what there would be without reuse."""
        return {kind: sum(b.room for b in self.buffers if b.kind == kind) for kind in KINDS}

    def scratch_bytes(self, op: str) -> int:
        """Bytes of the largest scratch buffer that the op called ``op`` writes, e.g. ``im2col``."""
        return max((b.nbytes for b in self.buffers if b.kind == "scratch" and b.op == op), default=0)


KINDS = ("input", "activation", "gradient", "scratch")


def plan_memory(
    graphs: Sequence[Graph],
    scratch: ScratchRule = lambda node: (),
    model_values: Collection[str] | None = None,
) -> MemoryPlan:
    """Plan one arena for graphs that run one after the other and pass values on by name.

    Args:
        graphs: forward, or forward and backward.
        scratch: what each node's kernel needs while it runs.
        model_values: names of the values that the model and its derivative have; what else there is
            counts as scratch in the report, unless it is kept for the backward. None means all.
    """
    liveness = _Liveness(tuple(graphs), model_values)
    buffers = _place([*liveness.buffers(), *_workspaces(graphs, scratch)])
    peak = max((buffer.offset + buffer.room for buffer in buffers), default=0)
    return MemoryPlan(tuple(graphs), tuple(buffers), peak, _outside_bytes(graphs))


def steps(graphs: Sequence[Graph]) -> Iterator[tuple[int, Node]]:
    """Every node with the step at which it runs; the steps between graphs are the caller's."""
    step = 0
    for graph in graphs:
        for node in graph.nodes:
            step += 1
            yield step, node
        step += 1


class _Liveness:
    """Which values share a buffer, and from when to when it lives."""

    def __init__(self, graphs: tuple[Graph, ...], model_values: Collection[str] | None) -> None:
        self.graphs = graphs
        self.model_values = model_values
        self.inputs, self.results = _names(graphs[0].inputs), _names(graphs[-1].outputs)
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
        """Value name -> last step that reads it; outputs are read by the caller right after their graph."""
        last: dict[str, int] = {}
        for step, node in steps(self.graphs):
            last.update((value.name, step) for value in node.inputs)
        step = 0
        for graph in self.graphs:
            step += len(graph.nodes) + 1
            last.update((value.name, max(step, last.get(value.name, 0))) for value in graph.outputs)
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
        for slot in node.op.inplace if len(node.outputs) == 1 else ():
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


def _workspaces(graphs: Sequence[Graph], scratch: ScratchRule) -> Iterator[Buffer]:
    """The kernels' temporary arrays: alive during one step."""
    for step, node in steps(graphs):
        for index, type in enumerate(scratch(node)):
            yield Buffer((node.scratch_name(index),), type.nbytes, step, step, "scratch", node.op.name)


def _place(buffers: Sequence[Buffer]) -> list[Buffer]:
    """Largest first, each at the lowest offset that no buffer alive at the same time covers."""
    by_offset: list[Buffer] = []
    placed: dict[int, Buffer] = {}
    for index in sorted(range(len(buffers)), key=lambda i: (-buffers[i].nbytes, buffers[i].first)):
        placed[index] = replace(buffers[index], offset=_lowest_gap(by_offset, buffers[index]))
        insort(by_offset, placed[index], key=lambda buffer: buffer.offset)
    return [placed[index] for index in range(len(buffers))]


def _lowest_gap(by_offset: Sequence[Buffer], buffer: Buffer) -> int:
    """The lowest offset at which ``buffer`` fits between those that are alive with it."""
    offset = 0
    for other in by_offset:
        if other.first > buffer.last or buffer.first > other.last:
            continue
        if other.offset - offset >= buffer.room:
            break
        offset = max(offset, other.offset + other.room)
    return offset


def _outside_bytes(graphs: Sequence[Graph]) -> int:
    """Bytes of the distinct parameters and constants."""
    outside = {value.name: value.type.nbytes for graph in graphs for value in graph.params}
    for graph in graphs:
        outside |= {n.name: n.outputs[0].type.nbytes for n in graph.nodes if isinstance(n.op, Constant)}
    return sum(outside.values())
