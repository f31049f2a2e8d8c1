"""Generated loops, run as plain Python and as machine code, on memory with a guard around every array."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from convir.ir import Op, TensorType
from convir.loops import Function, Nest, Operand, Processor, Program, Schedule, program_for, write_function
from convir.runtime.native import vectors

#: Vectors of 16, 32 and 64 bytes; 16 and 32 registers.
PROCESSORS = {
    "sse": Processor(vector_bytes=16),
    "neon": Processor(vector_bytes=16, vector_registers=32),
    "avx2": Processor(),
    "avx512": Processor(vector_bytes=64, vector_registers=32),
}

_GUARD = 64
_SENTINEL = 0x5A

Run = Callable[[Function, np.ndarray], None]


def operands_of(op: Op, types: Sequence[TensorType]) -> tuple[list[Operand], list[Operand]]:
    """Operands and results under names that hide nothing; the operands of a region have none."""
    names = op.operand_names or tuple(f"x{place}" for place in range(len(types)))
    given = [Operand(f"{name.rstrip('?')}_in", type) for name, type in zip(names, types, strict=False)]
    return given, [Operand(f"out{index}", type) for index, type in enumerate(op.infer(*types))]


def program_of(op: Op, types: Sequence[TensorType]) -> Program | None:
    """The loops of ``op``, or None where there are none."""
    return program_for(op, *operands_of(op, types))


def function_of(
    op: Op,
    types: Sequence[TensorType],
    processor: Processor = PROCESSORS["avx2"],
    schedule: Callable[[Nest], Schedule] | None = None,
) -> Function:
    """The source of ``op`` on these types, scheduled for ``processor`` or by hand."""
    given, made = operands_of(op, types)
    program = program_for(op, given, made)
    assert program is not None
    with pytest.MonkeyPatch.context() as patch:
        if schedule is not None:
            patch.setattr("convir.loops.function.choose_schedule", lambda nest, *_: schedule(nest))
        return write_function(f"{op.name}_loops", program, [*given, *made], processor, comment=str(op))


def run_plain(function: Function, addresses: np.ndarray) -> None:
    """Run the source as it is."""
    real = np.dtype(_real(function)).type
    names = {**vars(vectors), "np": np, "real": real, "infinity": real(np.inf)}
    exec(compile(function.source, f"<{function.name}>", "exec"), names)
    with np.errstate(all="ignore"):
        names[function.name](addresses)


def run_compiled(function: Function, addresses: np.ndarray) -> None:
    """Run the machine code that Numba makes of the source."""
    pytest.importorskip("numba")
    from convir.runtime.native import build

    code = build.compiled(function.name, build.module_text(function.source, _real(function)))
    build.entry(code)(addresses.ctypes.data)


def run_on(function: Function, arrays: Sequence[np.ndarray], run: Run) -> list[np.ndarray]:
    """Results of ``function`` on these operands; fails if it wrote outside of its results and temporaries."""
    blocks = [_guarded(operand.type) for operand in function.operands]
    views = [_inside(block, operand.type) for block, operand in zip(blocks, function.operands, strict=True)]
    for view, array in zip(views, arrays, strict=False):
        view[...] = array
    run(function, np.array([view.ctypes.data for view in views], np.intp))
    for view, array in zip(views, arrays, strict=False):
        np.testing.assert_array_equal(view, array, err_msg="an operand was written to")
    for block in blocks:
        assert (block[:_GUARD] == _SENTINEL).all(), "written before an array"
        assert (block[-_GUARD:] == _SENTINEL).all(), "written after an array"
    results = views[len(arrays) :]
    return [view for view, operand in zip(results, function.operands[len(arrays) :], strict=True) if _result(operand)]


def _result(operand: Operand) -> bool:
    return operand.name.startswith("out")


def _real(function: Function) -> str:
    floats = {operand.type.dtype for operand in function.operands if operand.type.is_float}
    assert len(floats) == 1
    return floats.pop()


def _guarded(type: TensorType) -> np.ndarray:
    """Bytes that are no number anybody computes, with room on both sides."""
    return np.full(type.nbytes + 2 * _GUARD, _SENTINEL, np.uint8)


def _inside(block: np.ndarray, type: TensorType) -> np.ndarray:
    return block[_GUARD : _GUARD + type.nbytes].view(type.dtype).reshape(type.shape)
