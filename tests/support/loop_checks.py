"""The loops of an op computed in two ways, and compared with its NumPy kernel."""

from __future__ import annotations

import numpy as np

from convir.runtime import evaluate
from support.generated import PROCESSORS, function_of, operands_of, program_of, run_on, run_plain
from support.graphs import assert_close
from support.loop_cases import types_of
from support.loop_interpreter import interpret_program

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}


def assert_written_down(op, arrays) -> None:
    """The nests, point by point, equal the NumPy kernel."""
    types = types_of(arrays)
    program = program_of(op, types)
    if program is None:
        return
    given, made = operands_of(op, types)
    memory = {operand.name: array.reshape(-1) for operand, array in zip(given, arrays, strict=True)}
    memory |= {operand.name: np.full(operand.type.size, np.nan) for operand in made}
    with np.errstate(all="ignore"):
        found = interpret_program(program, memory)
    expected = evaluate(op, arrays)
    made_arrays = [found[o.name].reshape(o.type.shape).astype(o.type.dtype) for o in made]
    assert_close(made_arrays, expected, TOLERANCE[expected[0].dtype.name])


def assert_plain(op, arrays, processor=PROCESSORS["avx2"], schedule=None) -> None:
    """The generated source, run as plain Python, equals the NumPy kernel."""
    types = types_of(arrays)
    if program_of(op, types) is None:
        return
    expected = evaluate(op, arrays)
    function = function_of(op, types, processor, schedule)
    try:
        assert_close(run_on(function, arrays, run_plain), expected, TOLERANCE[expected[0].dtype.name])
    except Exception as error:
        error.add_note(function.source)
        raise
