"""What a step asks of the machine, read off the step itself: its calls of BLAS and of NumPy's loops.

A kernel binds an op to arrays once, and what it returns is a list of calls with the arrays that they take. So what will
run is known before anything does: shapes, strides and bytes of every call. Arrays that nobody writes to take no memory,
so a step can be bound for that alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from convir.runtime.kernels.registry import Array, Step

#: Bytes that come from memory together.
LINE = 64


@dataclass(frozen=True)
class Product:
    """``count`` products of matrices (m, k) and (k, n).

    Attributes:
        nbytes: bytes of all operands and results, each once.
        itemsize: bytes of a number.
    """

    count: int
    m: int
    k: int
    n: int
    nbytes: int
    itemsize: int

    @property
    def flops(self) -> int:
        """2 for each multiplication and the addition to it."""
        return 2 * self.count * self.m * self.k * self.n


@dataclass(frozen=True)
class Move:
    """A pass over arrays element by element: a copy, or a sum.

    Attributes:
        nbytes: bytes read and written; of elements that do not lie one after the other, the lines of the caches that
            they lie in.
        elements: how many there are.
        loops: how often NumPy's innermost loop starts.
        strided: whether that loop goes over elements that do not lie one after the other, in some array.
        width: bytes of an element; more than a number's where rows are copied as one, see
            :func:`convir.runtime.kernels.copy.copied`.
    """

    nbytes: int
    elements: int
    loops: int
    strided: bool
    width: int


@dataclass(frozen=True)
class Loops:
    """A nest of compiled loops.

    Attributes:
        cycles: of one core, as the model that chose the schedule estimates them.
        nbytes: bytes of all operands and results, each once.
    """

    cycles: float
    nbytes: int


Call = Product | Move | Loops


def calls_of(step: Step) -> Sequence[Call] | None:
    """The calls that a bound step of NumPy's makes, in order; None where it runs Python of which nothing is known."""
    calls = list(_calls(step))
    return None if None in calls else [call for call in calls if call is not None]


def _calls(step: Any) -> Iterator[Call | None]:
    """The calls; None for what is not known."""
    inner = getattr(step, "steps", None)
    if inner is not None:
        for each in inner:
            yield from _calls(each)
        return
    if not (isinstance(step, partial) and _is_numpys(step.func)):
        yield None
        return
    arrays = [each for each in (*step.args, *step.keywords.values()) if isinstance(each, np.ndarray)]
    yield _product(arrays) if step.func is np.matmul else _move(arrays)


def _is_numpys(function: Any) -> bool:
    """Whether a function does nothing but go over its arrays: a ufunc, a method of one, or a copy."""
    return function is np.copyto or isinstance(getattr(function, "__self__", function), np.ufunc)


def _product(arrays: list[Array]) -> Product:
    """Of complex matrices as the real one that multiplies as often: of twice the rows and inner dimension."""
    left, right, result = arrays
    m, k = left.shape[-2:]
    parts = 2 if result.dtype.kind == "c" else 1
    nbytes = sum(array.nbytes for array in arrays)
    return Product(prod(result.shape[:-2]), parts * m, parts * k, right.shape[-1], nbytes, result.itemsize // parts)


def _move(arrays: list[Array]) -> Move:
    """Operands of fewer elements are read again and again, from the first cache."""
    whole = max(arrays, key=lambda array: array.size)
    full = [array for array in arrays if array.shape == whole.shape]
    inner, steps = _innermost(full)
    nbytes = sum(
        max(array.itemsize, min(abs(step), LINE)) * array.size for array, step in zip(full, steps, strict=True)
    )
    strided = any(step != array.itemsize for array, step in zip(full, steps, strict=True))
    return Move(nbytes, whole.size, whole.size // max(1, inner), strided, whole.itemsize)


def _innermost(arrays: list[Array]) -> tuple[int, list[int]]:
    """Elements of the innermost loop of a pass over arrays of one shape, and from one to the next in bytes.

    NumPy goes along the axis with the smallest strides last, and makes one axis of neighbours that lie like one.
    """
    axes = [axis for axis in range(arrays[0].ndim) if arrays[0].shape[axis] > 1]
    axes.sort(key=lambda axis: max(abs(array.strides[axis]) for array in arrays))
    if not axes:
        return 1, [array.itemsize for array in arrays]
    steps = [array.strides[axes[0]] for array in arrays]
    length = 1
    for axis in axes:
        if any(array.strides[axis] != length * step for array, step in zip(arrays, steps, strict=True)):
            break
        length *= arrays[0].shape[axis]
    return length, steps
