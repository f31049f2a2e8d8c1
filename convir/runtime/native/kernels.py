"""The compiled kernel set: loops generated for each node, and one call for a whole chain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from convir.ir import Graph, Node, Op, TensorType, UnsupportedError, Value
from convir.ir.ops import Constant, CrossEntropy, Region
from convir.loops import Function, Operand, Processor, identifier, program_for, write_function
from convir.runtime.build_report import BuildReport
from convir.runtime.calls import Call, Loops
from convir.runtime.kernel_set import NUMPY, BoundStep
from convir.runtime.kernels import Array, Step
from convir.runtime.kernels.loss import require_classes
from convir.runtime.lanes import LaneSet, Row
from convir.runtime.native import build, vectors
from convir.runtime.native.compiler import compilers
from convir.runtime.native.entries import entries
from convir.runtime.native.fallback import numpy_step, warn
from convir.runtime.native.lanes import NativeLanes
from convir.runtime.native.listing import listing
from convir.runtime.native.processor import host
from convir.runtime.preference import (
    Preferences,
    always,
    strided_2x2_compiled,
    strided_4x4_compiled,
    tiled_compiled,
    winograd_compiled,
)


@dataclass(frozen=True)
class NativeStep(BoundStep):
    """A step that is machine code.

    Attributes:
        function: its source.
        addresses: where its operands, results and temporaries lie.
        arrays: the same as arrays, which keeps them alive.
    """

    function: Function
    addresses: Array
    arrays: tuple[Array, ...]

    @cached_property
    def code(self) -> Any:
        """The compiled function, which stays where it is as long as the step."""
        return compiled(self.function)


class NumbaKernels:
    """Nodes that loops can say run as machine code, the others by NumPy."""

    name = "numba"
    build = compilers()
    conv: Preferences = (
        ("winograd_4x4", strided_4x4_compiled),
        ("winograd_2x2", strided_2x2_compiled),
        ("im2col_tiled", tiled_compiled),
        ("winograd_4x4", winograd_compiled),
        ("direct", always),
    )
    fuses = True
    #: Some 25 microseconds: helpers that have just run look for the next lane before they sleep.
    lane_flops = 2_000_000

    def __init__(self, processor: Processor | None = None) -> None:
        self.processor = processor or host()

    def scratch(self, node: Node) -> Sequence[TensorType]:
        """The temporaries between a node's nests; for the others NumPy's."""
        function = self._function(node)
        if function is None:
            return NUMPY.scratch(node)
        given = len(node.inputs) + len(node.outputs)
        return [operand.type for operand in function.operands[given:]]

    def inplace(self, node: Node) -> tuple[int, ...]:
        """Loops may compute points twice at the end of a row, so they overwrite nothing that they read."""
        return () if self._function(node) else NUMPY.inplace(node)

    def watched(self, node: Node) -> Sequence[Value]:
        """The classes and the loss of a cross-entropy: see :func:`_guard`."""
        return (node.inputs[1], node.outputs[0]) if isinstance(node.op, CrossEntropy) else ()

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """The loops with the addresses of these arrays."""
        function = self._function(node)
        if function is None:
            return NUMPY.bind(node, inputs, outputs)
        if build.failures([build.job_for(function)]):
            return numpy_step(node, inputs, outputs)
        arrays = (*inputs, *outputs)
        addresses = np.array([array.ctypes.data for array in arrays], np.intp)
        alone, guard = _Alone(function, addresses), _guard(node, inputs, outputs)
        return NativeStep(node, alone, function, addresses, arrays, by_numpy=False, guard=guard)

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """Neighbouring compiled steps become one call."""
        calls: list[Step] = []
        for is_native, group in groupby(steps, lambda step: isinstance(step, NativeStep)):
            members = list(group)
            calls += [_chain(members)] if is_native else [step.run for step in members]  # type: ignore[arg-type]
        return tuple(calls)

    def lanes(self, rows: Sequence[Sequence[Row]]) -> LaneSet | None:
        """Compiled code for all tiles, where every step is compiled."""
        every = [step for lane in rows for row in lane for step in row.steps]
        return NativeLanes(rows) if all(isinstance(step, NativeStep) for step in every) else None

    def prepare(self, graphs: Sequence[Graph]) -> BuildReport:
        """Compile the loops of all nodes, several at once; NumPy runs those that cannot be compiled, with a warning."""
        functions = {node: self._function(node) for graph in graphs for node in graph.nodes}
        jobs = {node: build.job_for(function) for node, function in functions.items() if function}
        report = build.compile_all(jobs.values())
        failed = build.failures(jobs.values())
        warn({node: failed[job] for node, job in jobs.items() if job in failed})
        return report

    def calls(self, node: Node) -> Sequence[Call] | None:
        """The loops; for nodes that have none NumPy's calls."""
        function = self._function(node)
        if function is None:
            return NUMPY.calls(node)
        nbytes = sum(value.type.nbytes for value in {*node.inputs, *node.outputs})
        return [Loops(function.cycles, nbytes)]

    def source(self, node: Node) -> str:
        """The module that holds the node's loops, with a head that says what they are."""
        function = self._function(node)
        if function is None:
            raise UnsupportedError(_no_loops(node), node.where)
        job = build.job_for(function)
        for error in build.failures([job]).values():
            raise UnsupportedError(f"NumPy runs {node.name}: its loops could not be compiled: {error}", node.where)
        return listing(node, function, job.text)

    def _function(self, node: Node) -> Function | None:
        if isinstance(node.op, Constant) or node.op.view:
            return None
        operands = tuple(value.type for value in node.inputs)
        results = tuple(value.type for value in node.outputs)
        return function_for(node.op, operands, results, self.processor)


def _guard(node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> Step | None:
    """The loss of a class that there is not is NaN; then it is worth looking at the classes."""
    if not isinstance(node.op, CrossEntropy):
        return None
    (logits, target), loss = inputs, outputs[0]
    classes = logits.shape[node.op.class_axis]

    def check() -> None:
        if np.isnan(loss):
            require_classes(CrossEntropy.name, target, classes)

    return check


@lru_cache(maxsize=4096)
def function_for(
    op: Op, operands: tuple[TensorType, ...], results: tuple[TensorType, ...], processor: Processor
) -> Function | None:
    """The loops of ``op`` on these types, or None where it has none."""
    names = [value.name for value in op.body.inputs] if isinstance(op, Region) else op.operand_names
    made = [Operand("out" if index == 0 else f"out{index}", type) for index, type in enumerate(results)]
    given: list[Operand] = []
    for name, type in zip(names, operands, strict=False):
        # A variable that hides no function and is no other operand's.
        taken = {*vars(vectors), *(operand.name for operand in (*made, *given))}
        given.append(Operand(identifier(name.rstrip("?"), taken), type))
    program = program_for(op, given, made)
    if program is None:
        return None
    stem, comment = (op.stem, "") if isinstance(op, Region) else (op.name, str(op))
    return write_function(f"{stem}_loops", program, [*given, *made], processor, comment)


def _no_loops(node: Node) -> str:
    """Why a node has no loops."""
    if isinstance(node.op, Constant):
        return f"{node.name} is a constant and runs nothing"
    if node.op.view:
        return f"{node.name} is a view of its operand and runs nothing"
    return f"NumPy runs {node.name}: there are no loops for this {node.op.name}"


def compiled(function: Function) -> Any:
    """The machine code of a function."""
    job = build.job_for(function)
    return build.compiled(job.name, job.text)


class _Alone:
    """One step by itself, compiled at its first run."""

    def __init__(self, function: Function, addresses: Array) -> None:
        self.function, self.addresses = function, addresses

    def __call__(self) -> None:
        self._enter(self._place)

    @cached_property
    def _enter(self) -> Any:
        return build.entry(compiled(self.function))

    @cached_property
    def _place(self) -> int:
        return self.addresses.ctypes.data


def _chain(steps: Sequence[NativeStep]) -> Step:
    """All steps in one call."""
    program = np.empty((len(steps), 2), np.intp)
    for row, step in zip(program, steps, strict=True):
        row[:] = step.code.address, step.addresses.ctypes.data
    run = entries().walk
    start, count = program.ctypes.data, len(steps)

    def call() -> None:
        run(start, count)

    call.keep = (program, steps, [step.code for step in steps])  # type: ignore[attr-defined]
    return call
