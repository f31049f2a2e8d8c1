"""How many threads BLAS uses while lanes of a call run beside each other.

A lane that calls BLAS should use its own thread only: two lanes whose matrix products use all CPUs each want twice the
CPUs there are, and OpenBLAS makes products that use its threads wait for each other. A product by two threads and one
by one thread may differ in the last bits.

Entering and leaving costs about 5 microseconds when it changes the setting and 4 when it does not (NumPy's OpenBLAS
0.3.31); ``threadpoolctl.threadpool_limits`` costs 300. ``openblas_set_num_threads`` costs 0.3 in both directions: the
threads of its pool stay. Two million switches while three threads were inside matrix products left all products right.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from threading import RLock, get_ident
from typing import Any

from convir.ir import ConvirError


def blas_threads(limit: int) -> AbstractContextManager[None]:
    """A context in which BLAS uses at most ``limit`` threads; a setting that is lower already stays.

    Contexts nest, and several threads may be inside at once: the least of their limits holds, and the last one out
    restores what the first one found. It is what NumPy calls that is limited, not OpenMP's pools.

    A library has one setting for the process (OpenBLAS with its own threads, BLIS), or one for each thread (MKL, and
    OpenBLAS on OpenMP, where it is OpenMP's own of that thread). So that the limit holds with each of them, every
    thread that calls BLAS should be inside, not only the one that starts the others.

    The libraries are looked for once, at the first use. NumPy's is loaded by then; one that another package loads
    later is not what convir's kernels call, and looking again costs 400 microseconds. Accelerate cannot be set and is
    left alone.

    Raises:
        ConvirError: ``limit`` is not a positive integer.
    """
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConvirError(f"the limit of BLAS threads is a positive integer, not {limit!r}")
    return _Inside(limit)


@dataclass(frozen=True)
class _Library:
    """The setting of one BLAS library."""

    get: Callable[[], int]
    set: Callable[[int], Any]
    per_thread: bool


class _Inside(AbstractContextManager[None]):
    """One caller inside; a class, as a generator costs as much again as the switch."""

    __slots__ = ("_found", "limit", "thread")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.thread = 0
        self._found: list[tuple[_Library, int]] = []

    def __enter__(self) -> None:
        self.thread = get_ident()
        try:
            _shared.enter(self)
            for library in _libraries():
                if library.per_thread and (before := library.get()) > self.limit:
                    self._found.append((library, before))
                    library.set(self.limit)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self._found:
            library, before = self._found.pop()
            library.set(before)
        _shared.leave(self)


class _Shared:
    """The settings that all threads of the process share, and who is inside."""

    def __init__(self) -> None:
        # Reentrant: a signal handler or a finalizer may come here while its own thread holds it.
        self.lock = RLock()
        self._inside: dict[_Inside, None] = {}
        self._found: list[tuple[_Library, int]] = []

    def enter(self, caller: _Inside) -> None:
        """A caller comes in; the first one finds the user's settings."""
        with self.lock:
            if not self._inside:
                self._found = [(library, library.get()) for library in _libraries() if not library.per_thread]
            self._inside[caller] = None
            self._apply()

    def leave(self, caller: _Inside) -> None:
        """A caller goes, also one that an interrupt kept from coming in."""
        with self.lock:
            self._inside.pop(caller, None)
            self._apply()

    def forked(self) -> None:
        """In the child of a fork only the forking thread lives on."""
        self._inside = {caller: None for caller in self._inside if caller.thread == get_ident()}
        self._apply()

    def _apply(self) -> None:
        limits = [caller.limit for caller in self._inside]
        for library, found in self._found:
            wanted = min([found, *limits])
            if library.get() != wanted:
                library.set(wanted)


@cache
def _libraries() -> tuple[_Library, ...]:
    # Here, not above: it makes a setting in os.environ when it is imported.
    from threadpoolctl import ThreadpoolController

    return tuple(_library(found) for found in ThreadpoolController().select(user_api="blas").lib_controllers)


def _library(controller: Any) -> _Library:
    """The setting that a library controller of threadpoolctl found."""
    if controller.internal_api == "mkl" or getattr(controller, "threading_layer", None) == "openmp":
        return _Library(controller.get_num_threads, controller.set_num_threads, per_thread=True)
    if controller.internal_api == "openblas":
        return _openblas(controller)
    return _Library(controller.get_num_threads, controller.set_num_threads, per_thread=False)


def _openblas(controller: Any) -> _Library:
    """OpenBLAS with its own threads.

    The controller's own setter does nothing, without a word, in any thread but the first that used it (threadpoolctl
    3.8): the last one out could not restore. So the library's functions are called, and without letting the GIL go,
    which a busy thread would give back after 5 milliseconds only.
    """
    name = next(name for name in controller.check_symbols if hasattr(controller.dynlib, name))
    get = _holding_the_gil(getattr(controller.dynlib, name), ctypes.c_int)
    set_ = _holding_the_gil(getattr(controller.dynlib, name.replace("_get_", "_set_")), None, ctypes.c_int)
    return _Library(get, set_, per_thread=False)


def _holding_the_gil(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


_shared = _Shared()


def _forked() -> None:
    _shared.forked()
    _shared.lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_shared.lock.acquire, after_in_parent=_shared.lock.release, after_in_child=_forked)
