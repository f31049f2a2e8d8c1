"""Parameters: the arrays that a model learns."""

from __future__ import annotations

from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from convir.frontend.missing import is_device, refuse_device
from convir.frontend.recording import Recording, active, place, placed
from convir.frontend.refusals import refuse
from convir.frontend.tensor import Symbolic
from convir.ir import ConvirError, DTypeError, ShapeError, TensorType, TraceError, Value


class Parameter(Symbolic):
    """An array that belongs to a model, is trained, and is saved under the name of its attribute.

    In ``forward`` it takes part in arithmetic like any tensor: ``self.scale * x``. Outside, its
    elements are in :attr:`data`.

    Args:
        data: what the array starts as; copied. float32 and float64 arrays keep their type, Python
            numbers and lists become float32.
        requires_grad: whether training changes it.

    Raises:
        DTypeError: an array of another element type, or no numbers at all.
        ShapeError: a dimension of 0.
    """

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        source = data.data if isinstance(data, Parameter) else data
        with placed("Parameter"):
            given = _array(source)
            self._type = _parameter_type(given.shape, given.dtype.name)
        self._data: NDArray[Any] = np.array(given, order="C")
        self.requires_grad = bool(requires_grad)

    @property
    def data(self) -> NDArray[Any]:
        """The array itself. Executables read it at every call, so changing it in place has effect at once.

        Assigning copies into it (same shape, any real element type): the array stays the same
        object until :meth:`to` changes its element type.
        """
        return self._data

    @data.setter
    def data(self, value: Any) -> None:
        array = np.asarray(value.data if isinstance(value, Parameter) else value)
        if array.shape != self._data.shape:
            raise ShapeError(f"a parameter {self.type} cannot hold an array of shape {list(array.shape)}")
        if not np.can_cast(array.dtype, self._data.dtype, casting="same_kind"):
            raise DTypeError(f"a parameter {self.type} cannot hold {array.dtype} elements")
        self._data[...] = array

    @property
    def type(self) -> TensorType:
        """Shape and element type."""
        return self._type

    def to(self, dtype: Any) -> Self:
        """Change the element type, to float32 or float64. This is the one thing that replaces the array."""
        refuse_device("Parameter.to", dtype if is_device(dtype) else None)
        self._type = _parameter_type(self.shape, dtype)
        self._data = self._data.astype(self._type.dtype, copy=False)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set :attr:`requires_grad`."""
        self.requires_grad = bool(requires_grad)
        return self

    def value_in(self, recording: Recording) -> Value:
        """The graph parameter that stands for this one; raises TraceError if the traced model does not own it."""
        return recording.parameter(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if active() is not None:
            refuse(
                "np.asarray(parameter)", "its elements may change after the trace; use the parameter: self.scale * x"
            )
        return np.array(self._data, dtype=dtype, copy=copy)

    def _changed(self, other: object) -> NoReturn:
        raise TraceError(
            "a parameter cannot be changed with an in-place operator; compute a new tensor (y = self.scale + x), or "
            "outside forward write parameter.data += ...",
            place("parameter += x"),
        )

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __imatmul__ = _changed

    def __repr__(self) -> str:
        return f"Parameter({self._data!r})" if self.requires_grad else f"Parameter({self._data!r}, requires_grad=False)"


def _array(source: Any) -> NDArray[Any]:
    """What a parameter is made of, as an array; raises DTypeError for anything but numbers."""
    try:
        if source is not None:  # which NumPy takes for a NaN
            return np.asarray(source, dtype=None if hasattr(source, "dtype") else "float32")
        problem = ""
    except (TypeError, ValueError) as error:
        if isinstance(error, ConvirError):
            raise  # a traced tensor: its own message says more
        problem = f" ({error})"
    raise DTypeError(f"a parameter is made of an array or numbers, got {source!r}{problem}")


def _parameter_type(shape: tuple[int, ...], dtype: Any) -> TensorType:
    type = TensorType(shape, dtype)
    if not type.is_float:
        raise DTypeError(f"a parameter is float32 or float64, got {type.dtype}; convert the array with astype()")
    return type
