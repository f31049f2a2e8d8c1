"""Numba as a compiler from Python source to object code."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from convir.runtime.native.objects import ObjectCode, llvm_lock
from convir.runtime.native.processor import identity

#: What machine code depends on beside its source: the other modules of convir that have a part in it.
_OWN = ("vectors.py", "lowering.py", "atomics.py", "compiler.py")

#: LLVM's intrinsics that become calls of the mathematics library.
_MATHEMATICS = ("exp", "log", "tanh", "pow", "sin", "cos")


class CompileError(Exception):
    """A function that could not be compiled; the message is one line."""


@dataclass(frozen=True)
class Job:
    """One function to compile.

    Attributes:
        name: the function's.
        text: source of the module that holds it.
        signature: Numba's notation of its type.
    """

    name: str
    text: str
    signature: str = "void(CPointer(intp))"

    @property
    def key(self) -> str:
        """Differs wherever the machine code may."""
        parts = (self.name, self.signature, self.text, identity(), _versions())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def compilers() -> str:
    """What compiled code depends on besides its source."""
    return f"{identity()} {_versions()}"


@cache
def _versions() -> str:
    """Everything that takes part in compiling."""
    own = (Path(__file__).with_name(name).read_bytes() for name in _OWN)
    digests = [hashlib.sha256(content).hexdigest() for content in own]
    return " ".join([version("numba"), version("llvmlite"), *digests])


def compile_job(job: Job) -> ObjectCode:
    """Compile a function in this process.

    Raises:
        CompileError: Numba or LLVM cannot; the message says why, in one line.
    """
    try:
        with llvm_lock:
            return _compiled(job)
    except Exception as error:
        raise CompileError(reason(error)) from error


def reason(error: Exception) -> str:
    """The line of an exception's text that says most: Numba's begins with the step that failed."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = next((line for line in lines if not line.startswith("Failed in ")), "")
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _compiled(job: Job) -> ObjectCode:
    from numba import cfunc

    import_module("convir.runtime.native.lowering")
    module = ModuleType(f"convir_native_{job.key}")
    exec(compile(job.text, f"<convir {job.name}>", "exec"), vars(module))
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "pipeline_class": _pipeline()}
    # Inside the function that C calls, LLVM sees that it raises nothing, and the code that would tell Python goes.
    options["forceinline"] = True
    code = cfunc(job.signature, nopython=True, **options)(getattr(module, job.name))
    library = code._library
    return ObjectCode(code.native_name, _externals(library._final_module), bytes(library._get_compiled_object()))


def _externals(module: Any) -> tuple[str, ...]:
    """Functions of other libraries that optimised code calls."""
    names = {function.name for function in module.functions if function.is_declaration}
    called = {name for name in names if not name.startswith("llvm.")}
    for name in names - called:
        stem = name.split(".")[1]
        if stem in _MATHEMATICS:
            called.add(stem if name.endswith("f64") else f"{stem}f")
    return tuple(sorted(called))


@cache
def _pipeline() -> Any:
    """Numba's compiler without the passes that generated loops have no use for: a fifth of its time.

    They have no closures, no branches, no ``with``, and call nothing that would be inlined as Python.
    """
    from numba.core import typed_passes as typed
    from numba.core import untyped_passes as untyped
    from numba.core.compiler import CompilerBase
    from numba.core.compiler_machinery import PassManager

    passes = (
        untyped.TranslateByteCode,
        untyped.FixupArgs,
        untyped.IRProcessing,
        untyped.ReconstructSSA,
        typed.NopythonTypeInference,
        typed.PreLowerStripPhis,
        typed.AnnotateTypes,
        typed.NativeLowering,
        typed.NoPythonBackend,
    )

    class Pipeline(CompilerBase):
        def define_pipelines(self) -> list[Any]:
            manager = PassManager("convir")
            for each in passes:
                manager.add_pass(each, each.__name__)
            manager.finalize()
            return [manager]

    return Pipeline
