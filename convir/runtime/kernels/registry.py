"""The one table of NumPy kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir import Op, TensorType, UnsupportedError

Array = NDArray[Any]
Step = Callable[[], object]

#: ``bind(op, inputs, outputs) -> step``: prepares everything once; the step computes and allocates
#: nothing. ``outputs`` are the results, then the scratch arrays that the kernel asked for.
Bind = Callable[[Any, Sequence[Array], Sequence[Array]], Step]

#: ``scratch(op, operand types, result types)``: the temporary arrays that the step works in.
Scratch = Callable[[Any, Sequence[TensorType], Sequence[TensorType]], Sequence[TensorType]]


@dataclass(frozen=True)
class Kernel:
    """How an op runs: how to bind it, and what it needs besides operands and results."""

    bind: Bind
    scratch: Scratch


KERNELS: dict[type[Op], Kernel] = {}


def no_scratch(op: Op, operands: Sequence[TensorType], results: Sequence[TensorType]) -> Sequence[TensorType]:
    """For kernels that work in their result alone."""
    return ()


def kernel(*op_types: type[Op], scratch: Scratch = no_scratch) -> Callable[[Bind], Bind]:
    """Register the decorated bind function for these op classes."""

    def register(bind: Bind) -> Bind:
        KERNELS.update(dict.fromkeys(op_types, Kernel(bind, scratch)))
        return bind

    return register


def kernel_for(op: Op) -> Kernel:
    """The kernel of ``op``; raises UnsupportedError where there is none."""
    found = KERNELS.get(type(op))
    if found is None:
        raise UnsupportedError(f"op {op.name} has no NumPy kernel; register one with @kernel({type(op).__name__})")
    return found


def in_order(steps: Sequence[Step]) -> Step:
    """One step that runs these one after the other."""
    if len(steps) == 1:
        return steps[0]

    def run() -> None:
        for step in steps:
            step()

    run.steps = steps  # type: ignore[attr-defined]  # For whoever asks what a run will do.
    return run


def scalar(number: float, like: Array) -> Array:
    """A zero-dimensional array of the element type of ``like``: passed to a ufunc, it is not converted again."""
    return np.array(number, like.dtype)
