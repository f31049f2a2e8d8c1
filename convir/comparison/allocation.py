"""What a program allocates, as NumPy reports it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from convir.compiler import Program
from convir.runtime import Executable, arena
from convir.runtime.arena import ALIGNMENT


@dataclass(frozen=True)
class Allocation:
    """Bytes of arrays that exist because a program can run.

    Attributes:
        arena: of what the memory plan places: inputs, results, all that is between them, scratch.
        constants: of what kernels keep beside it: numbers, and the matrices of Winograd's and Fourier's transforms.
            They depend on the sizes of kernel and image at most, not on channels and batch.
    """

    arena: int
    constants: int


def measured_allocation(program: Program) -> Allocation:
    """What NumPy allocates when the program's steps are bound to their arrays.

    Measured by :mod:`tracemalloc`, which NumPy tells of the memory of its arrays. The bytes by which an arena is
    larger so that it can be aligned are left out.

    Raises:
        MemoryLimitError: the arena is larger than the machine.
    """
    data = {name: holder.data for name, holder in program.parameters.items()}
    with _tracing():
        before = _numpy_bytes()
        executable = Executable(program.memory, data, program.kernels)
        after = _numpy_bytes()
        del executable
    arena_bytes, others = (new - old for old, new in zip(before, after, strict=True))
    return Allocation(arena_bytes - ALIGNMENT, others)


@contextmanager
def _tracing() -> Iterator[None]:
    """Allocations are traced, and afterwards if they were before."""
    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        yield
    finally:
        if not was_tracing:
            tracemalloc.stop()


def _numpy_bytes() -> tuple[int, int]:
    """Bytes of NumPy's arrays that were allocated since tracing began: in arenas, and elsewhere."""
    of_numpy = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)
    traces = tracemalloc.take_snapshot().filter_traces([of_numpy]).traces
    arenas = sum(trace.size for trace in traces if trace.traceback[-1].filename == arena.__file__)
    return arenas, sum(trace.size for trace in traces) - arenas
