"""How many threads BLAS uses while lanes of a call run beside each other.

A lane that calls BLAS should use its own thread only: two lanes whose matrix products use all CPUs each want twice the
CPUs there are, and OpenBLAS makes products that use its threads wait for each other. A product by two threads and one
by one thread may differ in the last bits.

Entering and leaving costs about 3 microseconds when it changes the setting, 1.1 of them in OpenBLAS, and 1 when it does
not (NumPy's OpenBLAS 0.3.31); ``threadpoolctl.threadpool_limits`` costs 300. ``openblas_set_num_threads`` costs 0.6 in
both directions: the threads of its pool stay. Two million switches while three threads were inside matrix products left
all products right.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cache
from threading import RLock, get_ident
from typing import Any

from convir.ir import ConvirError


def blas_threads(limit: int) -> AbstractContextManager[None]:
    """A context in which BLAS uses at most ``limit`` threads; a setting that is lower already stays.

    Contexts nest, and several threads may be inside at once: the least of their limits holds, and the last one out
    restores what the first one found. One that has been left may be entered again. It is what NumPy calls that is
    limited, not OpenMP's pools.

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
    limits = [library.limit(limit) for library in _libraries()]
    return limits[0] if len(limits) == 1 else _Several(limits)


def usable_threads(limit: int) -> int:
    """How many threads a matrix product of NumPy's may use inside of ``blas_threads(limit)``."""
    return min([limit, *(library.get() for library in _libraries()[:1])])


class _Several(AbstractContextManager[None]):
    """The limits of several libraries, or of none."""

    def __init__(self, limits: Sequence[AbstractContextManager[None]]) -> None:
        self._limits = limits

    def __enter__(self) -> None:
        try:
            for limit in self._limits:
                limit.__enter__()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        for limit in self._limits:
            limit.__exit__(None, None, None)


class _ByThread:
    """A library with a setting for each thread."""

    def __init__(self, get: Callable[[], int], set: Callable[[int], Any]) -> None:
        self.get, self.set = get, set

    def limit(self, limit: int) -> AbstractContextManager[None]:
        """A context in which the thread has at most ``limit``."""
        return _LimitByThread(self, limit)

    def forked(self) -> None:
        """The thread that forked keeps its setting."""


class _LimitByThread(AbstractContextManager[None]):
    """One thread inside."""

    def __init__(self, library: _ByThread, limit: int) -> None:
        self._library, self._limit = library, limit
        self._found: list[int] = []

    def __enter__(self) -> None:
        found = self._library.get()
        if found > self._limit:
            self._found.append(found)
            try:
                self._library.set(self._limit)
            except BaseException:
                self.__exit__()
                raise

    def __exit__(self, *_: object) -> None:
        if self._found:
            self._library.set(self._found.pop())


class _Common:
    """A library with one setting for all threads of the process, and who is inside of which limit."""

    def __init__(self, get: Callable[[], int], set: Callable[[int], Any]) -> None:
        self.get, self.set = get, set
        self.inside: dict[_CommonLimit, None] = {}
        self.found = 0

    def limit(self, limit: int) -> AbstractContextManager[None]:
        """A context in which the process has at most ``limit``."""
        return _CommonLimit(self, limit)

    def forked(self) -> None:
        """In the child of a fork only the forking thread lives on."""
        for limit in list(self.inside):
            if limit.thread != get_ident():
                limit.__exit__(None, None, None)

    def apply(self) -> None:
        """Set the least of what was found and the limits inside."""
        wanted = min([self.found, *[each.limit for each in self.inside]])
        if self.get() != wanted:
            self.set(wanted)


class _CommonLimit(AbstractContextManager[None]):
    """One caller inside. A class, and all in one place: a generator costs as much again as the switch, a call half."""

    __slots__ = ("_library", "limit", "thread")

    def __init__(self, library: _Common, limit: int) -> None:
        self._library, self.limit, self.thread = library, limit, 0

    def __enter__(self) -> None:
        self.thread, library = get_ident(), self._library
        try:
            with _lock:
                if library.inside:
                    library.inside[self] = None
                    library.apply()
                    return
                library.found = library.get()
                # Where nobody is inside and nothing would change, it stays outside.
                if library.found > self.limit:
                    library.inside[self] = None
                    library.set(self.limit)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        """Also of one that an interrupt kept from coming in, and one that stayed outside."""
        library = self._library
        with _lock:
            if self in library.inside:
                del library.inside[self]
                if library.inside:
                    library.apply()
                else:
                    library.set(library.found)


# Reentrant: a signal handler or a finalizer may come here while its own thread holds it.
_lock = RLock()


@cache
def _libraries() -> tuple[_Common | _ByThread, ...]:
    # Here, not above: it makes a setting in os.environ when it is imported.
    from threadpoolctl import ThreadpoolController

    return tuple(_library(found) for found in ThreadpoolController().select(user_api="blas").lib_controllers)


def _library(controller: Any) -> _Common | _ByThread:
    """The setting that a library controller of threadpoolctl found."""
    if controller.internal_api == "mkl" or getattr(controller, "threading_layer", None) == "openmp":
        return _ByThread(controller.get_num_threads, controller.set_num_threads)
    if controller.internal_api == "openblas":
        return _openblas(controller)
    return _Common(controller.get_num_threads, controller.set_num_threads)


def _openblas(controller: Any) -> _Common:
    """OpenBLAS with its own threads.

    The controller's own setter does nothing, without a word, in any thread but the first that used it (threadpoolctl
    3.8): the last one out could not restore. So the library's functions are called, and without letting the GIL go,
    which a busy thread would give back after 5 milliseconds only.
    """
    name = next(name for name in controller.check_symbols if hasattr(controller.dynlib, name))
    get = _holding_the_gil(getattr(controller.dynlib, name), ctypes.c_int)
    set_ = _holding_the_gil(getattr(controller.dynlib, name.replace("_get_", "_set_")), None, ctypes.c_int)
    return _Common(get, set_)


def _holding_the_gil(function: Any, result: Any, *arguments: Any) -> Callable[..., Any]:
    address = ctypes.cast(function, ctypes.c_void_p).value
    assert address is not None
    return ctypes.PYFUNCTYPE(result, *arguments)(address)


def _forked() -> None:
    if _libraries.cache_info().currsize:
        for library in _libraries():
            library.forked()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forked)
