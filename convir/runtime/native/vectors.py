"""The functions that generated loops are written in, in plain Python and NumPy.

Generated source imports them from here and runs as it is, slowly; :mod:`convir.runtime.native.lowering`
teaches Numba to compile each to a machine instruction or two. The number behind a name is the lanes
of the vectors that it makes or takes: ``load8(x, at)`` is ``x[at : at + 8]``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

#: Lanes that vectors may have.
LANES = (2, 4, 8, 16)


def fma(a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once where the processor can."""
    return a * b + c


def maximum(a: Any, b: Any) -> Any:
    """The larger of two numbers; NaN if one of them is."""
    return np.maximum(a, b)


def where_equal(a: Any, b: Any, then: Any, other: Any) -> Any:
    """``then`` where ``a == b``, else ``other``."""
    return np.where(a == b, then, other)[()]


def where_less(a: Any, b: Any, then: Any, other: Any) -> Any:
    """``then`` where ``a < b``, else ``other``."""
    return np.where(a < b, then, other)[()]


def sqrt(a: Any) -> Any:
    """The square root."""
    return np.sqrt(a)


def exp(a: Any) -> Any:
    """e to the power of ``a``."""
    return np.exp(a)


def log(a: Any) -> Any:
    """The natural logarithm."""
    return np.log(a)


def tanh(a: Any) -> Any:
    """The hyperbolic tangent."""
    return np.tanh(a)


def _view(dtype: str) -> Callable[[int, int], Any]:
    def view(address: int, count: int) -> Any:
        size = np.dtype(dtype).itemsize * count
        return np.frombuffer(memoryview((ctypes.c_char * size).from_address(int(address))).cast("B"), dtype)

    return view


#: Name -> function: ``float32s(address, count)`` is the array of ``count`` numbers that begins there.
VIEWS = {f"{dtype}s": _view(dtype) for dtype in ("float32", "float64", "int64", "int32", "uint8", "bool")}


def _load(lanes: int) -> Callable[[Any, int], Any]:
    def load(array: Any, at: int) -> Any:
        return array[at : at + lanes].copy()

    return load


def _store(lanes: int) -> Callable[[Any, int, Any], None]:
    def store(array: Any, at: int, value: Any) -> None:
        array[at : at + lanes] = value

    return store


def _splat(lanes: int) -> Callable[[Any], Any]:
    def splat(scalar: Any) -> Any:
        return np.full(lanes, scalar)

    return splat


def _total(lanes: int) -> Callable[[Any], Any]:
    def total(value: Any) -> Any:
        return value.sum(dtype=value.dtype)

    return total


def _largest(lanes: int) -> Callable[[Any], Any]:
    def largest(value: Any) -> Any:
        return value.max()

    return largest


#: Name -> function, for every number of lanes: ``load8(array, at)``, ``store8(array, at, value)``,
#: ``splat8(scalar)``, ``total8(value)`` (the sum of the lanes) and ``largest8(value)``.
LOADS = {lanes: _load(lanes) for lanes in LANES}
STORES = {lanes: _store(lanes) for lanes in LANES}
SPLATS = {lanes: _splat(lanes) for lanes in LANES}
TOTALS = {lanes: _total(lanes) for lanes in LANES}
LARGEST = {lanes: _largest(lanes) for lanes in LANES}

BY_LANES: dict[str, dict[int, Callable[..., Any]]] = {
    "load": LOADS,
    "store": STORES,
    "splat": SPLATS,
    "total": TOTALS,
    "largest": LARGEST,
}

globals().update(VIEWS)
globals().update({f"{stem}{lanes}": function for stem, table in BY_LANES.items() for lanes, function in table.items()})
