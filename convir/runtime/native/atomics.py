"""Memory that several threads look at: what Numba has no functions for."""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

#: Telling the core that this is a loop that waits: it then leaves the other hardware thread its units.
#: LLVM's name of the instruction, and the number that it takes.
_PAUSES: dict[str, tuple[str, list[int]]] = {
    "x86_64": ("llvm.x86.sse2.pause", []),
    "amd64": ("llvm.x86.sse2.pause", []),
    "aarch64": ("llvm.aarch64.hint", [1]),
    "arm64": ("llvm.aarch64.hint", [1]),
}


@intrinsic
def call(context: Any, function: Any, addresses: Any) -> Any:
    """Call the function at one address with a pointer to the other."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        pointer = context.get_value_type(types.intp).as_pointer()
        function_type = ir.FunctionType(ir.VoidType(), [pointer]).as_pointer()
        builder.call(builder.inttoptr(values[0], function_type), [builder.inttoptr(values[1], pointer)])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), code


@intrinsic
def copy_bytes(context: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy bytes from one address to another."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        target, source = (builder.inttoptr(value, byte) for value in values[:2])
        cgutils.raw_memcpy(builder, target, source, values[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), code


@intrinsic
def peek(context: Any, address: Any) -> Any:
    """The number at an address, as other threads have left it by now."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load_atomic(_word(builder, values[0]), "acquire", 8)

    return types.intp(types.intp), code


@intrinsic
def poke(context: Any, address: Any, value: Any) -> Any:
    """Store a number where other threads look; they then see everything that was stored before."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store_atomic(values[1], _word(builder, values[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), code


@intrinsic
def fetch_add(context: Any, address: Any, value: Any) -> Any:
    """Add to the number at an address; returns what it was."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", _word(builder, values[0]), values[1], "seq_cst")

    return types.intp(types.intp, types.intp), code


@intrinsic
def exchange(context: Any, address: Any, value: Any) -> Any:
    """Store a number; returns what was there."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("xchg", _word(builder, values[0]), values[1], "seq_cst")

    return types.intp(types.intp, types.intp), code


@intrinsic
def replace_if(context: Any, address: Any, expected: Any, value: Any) -> Any:
    """Store ``value`` if ``expected`` is there; returns whether it was."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        found = builder.cmpxchg(_word(builder, values[0]), values[1], values[2], "seq_cst", "seq_cst")
        return builder.extract_value(found, 1)

    return types.boolean(types.intp, types.intp, types.intp), code


@intrinsic
def pause(context: Any) -> Any:
    """A moment's rest in a loop that waits."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        name, numbers = _PAUSES.get(platform.machine().lower(), ("", []))
        if name:
            integer = ir.IntType(32)
            function_type = ir.FunctionType(ir.VoidType(), [integer] * len(numbers))
            function = cgutils.get_or_insert_function(builder.module, function_type, name)
            builder.call(function, [ir.Constant(integer, number) for number in numbers])
        return context.get_dummy_value()

    return types.void(), code


@intrinsic
def words(context: Any, address: Any) -> Any:
    """A pointer to the numbers at an address."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.intp)(types.intp), code


@intrinsic
def address_of(context: Any, pointer: Any) -> Any:
    """Where a pointer points."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ptrtoint(values[0], context.get_value_type(types.intp))

    return types.intp(types.CPointer(types.intp)), code


def _word(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())
