"""Calling many compiled functions in one go."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def call(context: Any, function: Any, addresses: Any) -> Any:
    """Call the function at one address with a pointer to the other."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = context.get_value_type(types.intp).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer]).as_pointer()
        builder.call(builder.inttoptr(values[0], function_type), [builder.inttoptr(values[1], pointer)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), code


def run(program: Any, count: int) -> None:
    """``program`` holds, for each of ``count`` steps, where its function and its addresses lie."""
    for step in range(count):
        call(program[2 * step], program[2 * step + 1])
