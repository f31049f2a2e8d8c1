"""Bind once, run many: a planned program with its arena and its steps."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextvars import Context
from itertools import pairwise
from typing import Protocol

import numpy as np

from convir.ir import ConvirError, Graph, TensorType, Value
from convir.ir.ops import Constant
from convir.runtime.arena import Arena
from convir.runtime.kernel_set import NUMPY, BoundStep, KernelSet
from convir.runtime.kernels import Array


class Placement(Protocol):
    """What a memory plan says of one value."""

    @property
    def offset(self) -> int:
        """Where its bytes start in the arena."""


class Plan(Protocol):
    """What an executable needs of a memory plan."""

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The graphs that run one after the other."""

    @property
    def arena_bytes(self) -> int:
        """Size of the arena."""

    @property
    def buffer_of(self) -> Mapping[str, Placement]:
        """Where each value lives; parameters, constants and their views are not in it."""


#: In this context NumPy does not warn of overflow. To run in it takes 0.1 microseconds, ``np.errstate`` 1.2.
_UNWARNED = Context()
_UNWARNED.run(np.seterr, all="ignore")


class Executable:
    """A program ready to run: every step bound to its arrays in one arena.

    It owns its arena, so it serves one thread at a time.

    ``by_numpy`` says whether any of its steps calls NumPy, whose use of BLAS is worth a thought then.

    Args:
        plan: the memory plan of the program's graphs.
        parameters: the live array of each parameter.
        kernels: what runs the nodes; the plan was made for them.
        arena: where everything lives, at least as large as the plan says; None for one of its own.

    Raises:
        MemoryLimitError: the arena is larger than the machine; nothing was allocated.
        UnsupportedError: an op without a kernel.
        ConvirError: the given arena is too small.
    """

    def __init__(
        self, plan: Plan, parameters: Mapping[str, Array], kernels: KernelSet = NUMPY, arena: Arena | None = None
    ) -> None:
        self.plan = plan
        self.kernels = kernels
        self.arena = arena or Arena(plan.arena_bytes)
        if self.arena.nbytes < plan.arena_bytes:
            raise ConvirError(f"the plan needs {plan.arena_bytes} bytes, the arena has {self.arena.nbytes}")
        self.arrays: dict[str, Array] = dict(parameters)
        for graph in plan.graphs:
            for value in graph.inputs:
                self.arrays.setdefault(value.name, self._place(value.name, value.type))
        self.halves = tuple(tuple(self._bind(graph)) for graph in plan.graphs)
        self.by_numpy = any(step.by_numpy for half in self.halves for step in half)
        self._guards = tuple([step.guard for step in half if step.guard is not None] for half in self.halves)
        names = [graph.name for graph in plan.graphs]
        self._calls = tuple(kernels.link(name, half) for name, half in zip(names, self.halves, strict=True))

    def load(self, value: Value, array: Array) -> None:
        """Copy ``array`` to where ``value`` lives."""
        np.copyto(self.arrays[value.name], array)

    def run(self, half: int) -> None:
        """Run one of the program's graphs; overflow gives inf and NaN without a warning, as in every framework.

        Raises:
            ExecutionError: operands that a step has no answer for, such as a class that there is not.
        """
        if self.by_numpy:
            # A copy: it may be entered while another thread is in it.
            _UNWARNED.copy().run(self._run, half)
        else:
            self._run(half)
        for guard in self._guards[half]:
            guard()

    def is_guarded(self, half: int) -> bool:
        """Whether :meth:`check` looks at anything."""
        return bool(self._guards[half])

    def check(self, half: int) -> None:
        """What :meth:`run` does after the last step: raise the errors that compiled steps could not."""
        for guard in self._guards[half]:
            guard()

    def _run(self, half: int) -> None:
        for call in self._calls[half]:
            call()

    def timed(self, half: int) -> tuple[list[float], float]:
        """Run one of the program's graphs step by step; returns the seconds of each step, and of all."""
        steps = [step.run for step in self.halves[half]]
        stamps = [0.0] * (len(steps) + 1)
        with np.errstate(all="ignore"):
            stamps[0] = time.perf_counter()
            for index, step in enumerate(steps, 1):
                step()
                stamps[index] = time.perf_counter()
        return [after - before for before, after in pairwise(stamps)], stamps[-1] - stamps[0]

    def read(self, value: Value) -> Array:
        """The array in which ``value`` lives: the executable's own, overwritten by later runs."""
        return self.arrays[value.name]

    def _place(self, name: str, type: TensorType) -> Array:
        return self.arena.array(self.plan.buffer_of[name].offset, type)

    def _bind(self, graph: Graph) -> Iterator[BoundStep]:
        for node in graph.nodes:
            if isinstance(node.op, Constant):
                self.arrays[node.name] = node.op.value.array
                continue
            inputs = [self.arrays[value.name] for value in node.inputs]
            if node.op.view:
                self.arrays[node.name] = inputs[0].reshape(node.outputs[0].type.shape)
                continue
            outputs = [self._place(value.name, value.type) for value in node.outputs]
            self.arrays.update((value.name, array) for value, array in zip(node.outputs, outputs, strict=True))
            types = enumerate(self.kernels.scratch(node))
            scratch = [self._place(node.scratch_name(index), type) for index, type in types]
            yield self.kernels.bind(node, inputs, [*outputs, *scratch])
