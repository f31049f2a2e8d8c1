"""The compiled kernel set: loops generated for each node, and one call for a whole chain of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import Any

import numpy as np

from convir.ir import Node, Op, TensorType
from convir.ir.ops import Constant
from convir.loops import Function, Operand, Processor, program_for, write_function
from convir.runtime.kernel_set import NUMPY, BoundStep
from convir.runtime.kernels import Array, Step
from convir.runtime.native import build, vectors


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

    @property
    def code(self) -> Any:
        """The compiled function."""
        return compiled(self.function)


class NumbaKernels:
    """Nodes that loops can say run as machine code, the others by NumPy."""

    name = "numba"
    conv = "direct"

    def __init__(self, processor: Processor | None = None) -> None:
        self.processor = processor or Processor()

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

    def bind(self, node: Node, inputs: Sequence[Array], outputs: Sequence[Array]) -> BoundStep:
        """The loops with the addresses of these arrays."""
        function = self._function(node)
        if function is None:
            return NUMPY.bind(node, inputs, outputs)
        arrays = (*inputs, *outputs)
        addresses = np.array([array.ctypes.data for array in arrays], np.intp)
        return NativeStep(node, _Alone(function, addresses), function, addresses, arrays, by_numpy=False)

    def link(self, name: str, steps: Sequence[BoundStep]) -> Sequence[Step]:
        """Neighbouring compiled steps become one call."""
        calls: list[Step] = []
        for is_native, group in groupby(steps, lambda step: isinstance(step, NativeStep)):
            members = list(group)
            calls += [_chain(members)] if is_native else [step.run for step in members]  # type: ignore[arg-type]
        return tuple(calls)

    def _function(self, node: Node) -> Function | None:
        if isinstance(node.op, Constant) or node.op.view:
            return None
        operands = tuple(value.type for value in node.inputs)
        results = tuple(value.type for value in node.outputs)
        return function_for(node.op, operands, results, self.processor)


@lru_cache(maxsize=4096)
def function_for(
    op: Op, operands: tuple[TensorType, ...], results: tuple[TensorType, ...], processor: Processor
) -> Function | None:
    """The loops of ``op`` on these types, or None where it has none."""
    names = [_parameter(name.rstrip("?")) for name in op.operand_names]
    given = [Operand(name, type) for name, type in zip(names, operands, strict=False)]
    made = [Operand("out" if index == 0 else f"out{index}", type) for index, type in enumerate(results)]
    program = program_for(op, given, made)
    return (
        None
        if program is None
        else write_function(f"{op.name}_loops", program, [*given, *made], processor, comment=str(op))
    )


def _parameter(name: str) -> str:
    """An operand's name as a variable that hides no function."""
    return f"{name}_" if hasattr(vectors, name) else name


def compiled(function: Function) -> Any:
    """The machine code of a function."""
    floats = [operand.type.dtype for operand in function.operands if operand.type.is_float]
    dtype = "float64" if "float64" in floats else "float32"
    return build.compiled(function.name, build.module_text(function.source, dtype))


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
    run, code = build.runner()
    start, count = program.ctypes.data, len(steps)

    def call() -> None:
        run(start, count)

    call.keep = (program, steps, code)  # type: ignore[attr-defined]
    return call
