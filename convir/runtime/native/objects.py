"""Machine code as bytes, and how it becomes something to call."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from llvmlite import binding as llvm

from convir.runtime.forks import lock_across_forks

#: Held while Numba and LLVM work: they have locks of their own, which a child could inherit.
llvm_lock = lock_across_forks()

_MAGIC = b"convir machine code 1\n"


@dataclass(frozen=True)
class ObjectCode:
    """One compiled function.

    Attributes:
        symbol: its name inside.
        externals: names of the functions of other libraries that it calls.
        data: an object file for this machine.
    """

    symbol: str
    externals: tuple[str, ...]
    data: bytes

    def to_bytes(self) -> bytes:
        """Everything, behind a checksum."""
        head = json.dumps({"symbol": self.symbol, "externals": self.externals}).encode()
        body = head + b"\n" + self.data
        return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body

    @classmethod
    def from_bytes(cls, content: bytes) -> ObjectCode | None:
        """What :meth:`to_bytes` made; None where a single byte of it is not as it was."""
        if not content.startswith(_MAGIC):
            return None
        checksum, _, body = content[len(_MAGIC) :].partition(b"\n")
        if checksum != hashlib.sha256(body).hexdigest().encode():
            return None
        head, _, data = body.partition(b"\n")
        fields = json.loads(head)
        return cls(fields["symbol"], tuple(fields["externals"]), data)


@dataclass(frozen=True)
class MachineCode:
    """A function in memory.

    Attributes:
        address: where it begins.
        engine: what owns the memory.
    """

    address: int
    engine: Any


def load(code: ObjectCode) -> MachineCode:
    """Bring ``code`` into memory; each function has an engine of its own, so that names cannot collide.

    Raises:
        RuntimeError: it needs a function that no library of this machine has, or is for another machine.
    """
    with llvm_lock:
        return _loaded(code)


def _loaded(code: ObjectCode) -> MachineCode:
    _initialize()
    _require(code.externals)
    # The options that Numba's code was made with: LLVM writes the addresses into it now.
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code.data))
    engine.finalize_object()
    address = engine.get_function_address(code.symbol)
    if not address:
        raise RuntimeError(f"the machine code has no function {code.symbol}")
    return MachineCode(address, engine)


def _require(externals: tuple[str, ...]) -> None:
    """LLVM ends the process when it misses a name; Numba brings those that the system's libraries lack."""
    if all(llvm.address_of_symbol(name) for name in externals):
        return
    from numba.core.registry import cpu_target

    cpu_target.target_context.refresh()
    missing = [name for name in externals if not llvm.address_of_symbol(name)]
    if missing:
        raise RuntimeError(f"no library has {', '.join(missing)}")


@cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
