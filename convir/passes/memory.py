"""The memory plan: every intermediate gets a place in one arena, by the time it lives.

Liveness is exact for straight-line code. Views share their operand's buffer, an element-by-element
result takes over the buffer of an operand that dies there, and the remaining buffers are placed
largest first at the lowest offset that is free while they live (Pisarchyk and Lee, *Efficient Memory
Management for Deep Neural Net Inference*, 2020, "greedy by size for offset calculation").
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from convir.ir import Graph
from convir.ir.ops import Constant
from convir.passes.liveness import Buffer, Kernels, Liveness, OpsAlone, steps
from convir.passes.memory_table import memory_json, memory_table


@dataclass(frozen=True)
class MemoryPlan:
    """Where everything lives while a program runs.

    Attributes:
        graphs: the graphs that run one after the other: forward, or forward and backward.
        buffers: every buffer with its offset.
        arena_bytes: size of one arena.
        parameter_bytes: bytes of parameters and constants, which live outside the arena.
        arenas: how many arenas are laid out like this: one for each tile of the batch, or thread, that needs its own.
    """

    graphs: tuple[Graph, ...]
    buffers: tuple[Buffer, ...]
    arena_bytes: int
    parameter_bytes: int
    arenas: int = 1

    @property
    def peak_bytes(self) -> int:
        """Bytes of all arenas: exactly what the runtime allocates."""
        return self.arenas * self.arena_bytes

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
        """Bytes of each kind that are alive at the peak; with fragmentation they add up to one arena."""
        live = self.alive(self.peak_step)
        split = {kind: sum(b.room for b in live if b.kind == kind) for kind in KINDS}
        return {**split, "fragmentation": self.arena_bytes - sum(split.values())}

    def total_by_kind(self) -> dict[str, int]:
        """Bytes of all buffers of each kind, whenever they live: what there would be without reuse."""
        return {kind: sum(b.room for b in self.buffers if b.kind == kind) for kind in KINDS}

    @cached_property
    def scratch_peak(self) -> int:
        """Most bytes of scratch that are alive at once: patch matrices, transformed weights, kernels' workspaces."""
        scratch = [buffer for buffer in self.buffers if buffer.kind == "scratch"]
        steps = {buffer.first for buffer in scratch}
        return max((sum(b.nbytes for b in scratch if b.first <= step <= b.last) for step in steps), default=0)

    def scratch_bytes(self, op: str) -> int:
        """Bytes of the largest scratch buffer that the op called ``op`` writes, e.g. ``im2col``."""
        return max((b.nbytes for b in self.buffers if b.kind == "scratch" and b.op == op), default=0)


KINDS = ("input", "activation", "gradient", "scratch")


def plan_memory(
    graphs: Sequence[Graph],
    kernels: Kernels | None = None,
    model_values: Collection[str] | None = None,
) -> MemoryPlan:
    """Plan one arena for graphs that run one after the other and pass values on by name.

    Args:
        graphs: forward, or forward and backward.
        kernels: what each node needs while it runs, and what it may overwrite; by default nothing, and what
            the op says.
        model_values: names of the values that the model and its derivative have; what else there is
            counts as scratch in the report, unless it is kept for the backward. None means all.
    """
    kernels = kernels or OpsAlone()
    liveness = Liveness(tuple(graphs), model_values, kernels)
    buffers = _place([*liveness.buffers(), *_workspaces(graphs, kernels)])
    peak = max((buffer.offset + buffer.room for buffer in buffers), default=0)
    return MemoryPlan(tuple(graphs), tuple(buffers), peak, _outside_bytes(graphs))


def _workspaces(graphs: Sequence[Graph], kernels: Kernels) -> Iterator[Buffer]:
    """The kernels' temporary arrays: alive during one step."""
    for step, node in steps(graphs):
        for index, type in enumerate(kernels.scratch(node)):
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
