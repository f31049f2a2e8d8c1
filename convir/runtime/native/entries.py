"""The compiled functions of :mod:`convir.runtime.native.chain`, to be called with addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache
from typing import Any

from convir.runtime.kernels import Array
from convir.runtime.native import build, chain
from convir.runtime.native.compiler import Job

#: What is called from outside the module, and its type as Numba writes it.
SIGNATURES = {
    "walk": "void(CPointer(intp), intp)",
    "post": "intp(CPointer(intp), intp)",
    "finish": "void(CPointer(intp), CPointer(intp), intp, intp)",
    "serve": "void(CPointer(intp))",
    "copy": "void(CPointer(intp))",
}


def jobs() -> dict[str, Job]:
    """What there is to compile."""
    return {name: build.job_in(chain, name, signature) for name, signature in SIGNATURES.items()}


class Entries:
    """The functions, which see no types: every argument is a number. Python's other threads run meanwhile.

    Raises:
        CompileError: Numba cannot compile one.
    """

    def __init__(self, jobs: Mapping[str, Job]) -> None:
        build.compile_all(jobs.values())
        self._code = {name: build.code_of(job) for name, job in jobs.items()}
        word = ctypes.c_ssize_t
        self.walk: Any = ctypes.CFUNCTYPE(None, word, word)(self._code["walk"].address)
        self.post: Any = ctypes.CFUNCTYPE(word, word, word)(self._code["post"].address)
        self.finish: Any = ctypes.CFUNCTYPE(None, word, word, word, word)(self._code["finish"].address)
        self.serve: Any = ctypes.CFUNCTYPE(None, word)(self._code["serve"].address)
        #: Where the step that copies bytes lies.
        self.copy: int = self._code["copy"].address
        #: Where ``sched_yield`` lies, or 0 where there is none.
        self.give_way = _give_way()


@cache
def entries() -> Entries:
    """Those that the process uses."""
    return Entries(jobs())


def address_of(array: Array) -> int:
    """Where an array's first element lies; a third of the time of ``array.ctypes.data``, if it can be written to."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # of an array that is read-only, or empty
        return int(array.ctypes.data)


def _give_way() -> int:
    try:
        function = ctypes.CDLL(None).sched_yield
    except (AttributeError, OSError, TypeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
