"""What callers pass, as the arrays that it has to be."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir import DTypeError, ShapeError, TensorType, Value

Array = NDArray[Any]


class Arguments:
    """The arrays that a call takes, in order.

    Args:
        callee: what takes them, for errors.
        noun: what they are called, such as ``input``.
        values: their names and types.
    """

    def __init__(self, callee: str, noun: str, values: Sequence[Value]) -> None:
        self._callee, self._noun, self._values = callee, noun, tuple(values)
        self._fitting = tuple((np.ndarray, np.dtype(value.type.dtype), value.type.shape) for value in values)

    def fit(self, given: Sequence[Any]) -> bool:
        """Whether they are arrays of just these types: a quick answer, for nearly all calls."""
        try:
            return tuple(map(_KIND, given)) == self._fitting
        except AttributeError:
            return False

    def of_rank(self, given: Sequence[Any]) -> list[Array]:
        """``given`` as arrays of the element types and ranks; nothing is cast.

        Raises:
            ShapeError: too few or too many, or another rank.
            DTypeError: another element type.
        """
        if len(given) != len(self._values):
            listed = ", ".join(map(str, self._values))
            expected = f"{len(self._values)} {self._noun}s ({listed})"
            raise ShapeError(f"{self._callee} takes {expected}, got {len(given)}")
        every = zip(given, self._values, strict=True)
        return [_as_array(item, value.type, self._label(value)) for item, value in every]

    def of_shape(self, given: Sequence[Any]) -> list[Array]:
        """The same, and the shapes must be those of the types."""
        arrays = self.of_rank(given)
        for array, value in zip(arrays, self._values, strict=True):
            if array.shape != value.type.shape:
                raise _wrong_shape(array, value.type, self._label(value))
        return arrays

    def _label(self, value: Value) -> str:
        return f"{self._noun} {value.name}"


_KIND = attrgetter("__class__", "dtype", "shape")


def _as_array(given: Any, type: TensorType, label: str) -> Array:
    """``given`` as an array of the element type and rank."""
    try:
        array = np.asarray(given)
    except (ValueError, RuntimeError) as error:  # a ragged list; a PyTorch tensor that requires a gradient
        raise ShapeError(f"{label} must be {type}: {error}") from None
    # The name also matches arrays of the other byte order, which copying converts.
    if array.dtype.name != type.dtype:
        hint = f"x.astype({type.dtype!r})" if isinstance(given, np.ndarray) else f"np.asarray(x, {type.dtype!r})"
        found = (
            array.dtype.name if isinstance(given, np.ndarray) else f"{given.__class__.__name__} ({array.dtype.name})"
        )
        raise DTypeError(f"{label} must be {type.dtype}, got {found}; convert it: {hint}")
    if array.ndim != type.rank:
        raise _wrong_shape(array, type, label)
    return array


def _wrong_shape(array: Array, type: TensorType, label: str) -> ShapeError:
    found = "x".join(map(str, array.shape)) or "a scalar"
    return ShapeError(f"{label} must be {type}, got shape {list(array.shape)} ({found})")
