"""Symbolic tensors: what the user's own forward computes with while it is traced."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
from numpy.typing import NDArray

from convir.frontend.dims import Dim, expanded_shape, indices, reduced_axes, requested_shape, squeezed_shape
from convir.frontend.missing import absent
from convir.frontend.recording import Recording, place, placed, required
from convir.frontend.refusals import NoValue
from convir.frontend.typed import Typed
from convir.ir import Op, ShapeError, TensorType, TraceError, UnsupportedError, Value, ops

#: What a recorded op takes: a symbolic tensor, a constant array, or a Python number beside a tensor.
Operand = Any

_NUMBERS = (bool, int, float, np.number, np.bool_)


class Symbolic(Typed):
    """What tensors and parameters share: operators and methods that record nodes.

    Every method raises ShapeError or DTypeError with the user's line if the operands do not fit.
    """

    def __add__(self, other: Operand) -> Tensor:
        return _binary(ops.Add, self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return _binary(ops.Add, other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return _binary(ops.Sub, self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return _binary(ops.Sub, other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return _binary(ops.Mul, self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return _binary(ops.Mul, other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return _binary(ops.Div, self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return _binary(ops.Div, other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return _matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return _matmul(other, self)

    def __neg__(self) -> Tensor:
        return record(ops.Neg, self)

    def __pos__(self) -> Symbolic:
        return self

    def __pow__(self, exponent: object) -> Tensor:
        """``x ** 2`` is ``x * x`` and ``x ** 0.5`` is ``x.sqrt()``; there is no general power."""
        if isinstance(exponent, _NUMBERS) and exponent == 2:
            return self * self
        if isinstance(exponent, _NUMBERS) and exponent == 0.5:
            return self.sqrt()
        raise UnsupportedError(
            f"only x ** 2 and x ** 0.5 are there, got {exponent!r}; write a product, or (x.log() * p).exp() for x > 0",
            place("x ** p"),
        )

    if not TYPE_CHECKING:  # type checkers know what is there

        def __getattr__(self, name: str) -> NoReturn:
            hidden = {"value_in", *vars(NoValue)}
            raise absent("x", name, (known for known in dir(type(self)) if known[0] != "_" and known not in hidden))

        def __abs__(self) -> NoReturn:
            return self.abs()

    def relu(self) -> Tensor:
        """``max(x, 0)``"""
        return record(ops.Relu, self)

    def sigmoid(self) -> Tensor:
        """``1 / (1 + exp(-x))``"""
        return record(ops.Sigmoid, self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return record(ops.Tanh, self)

    def exp(self) -> Tensor:
        """``e ** x``"""
        return record(ops.Exp, self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return record(ops.Log, self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return record(ops.Sqrt, self)

    def sum(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Sum over ``dim`` (one axis, several, or all); negative axes count from the last."""
        return _reduce(ops.Sum, self, dim, keepdim)

    def mean(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Mean over ``dim`` (one axis, several, or all)."""
        return _reduce(ops.Mean, self, dim, keepdim)

    def amax(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """Maximum over ``dim`` (one axis, several, or all)."""
        return _reduce(ops.Max, self, dim, keepdim)

    def max(self, dim: int | Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
        """The same as :meth:`amax`: unlike PyTorch's ``max(dim)`` it returns the values alone, no indices.

        Equal maxima share the gradient evenly, as in PyTorch's ``amax``.
        """
        return _reduce(ops.Max, self, dim, keepdim)

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements in row-major order under another shape; one entry may be -1.

        Dimensions taken from a tensor's shape, as in ``x.reshape(x.shape[0], -1)``, stay open: the
        graph can be re-specialised to another batch size. Plain numbers are fixed.
        """
        with placed("reshape"):
            requested = requested_shape(shape, self.shape)
        return record(ops.Reshape, self, shape=requested)

    view = reshape

    def contiguous(self) -> Symbolic:
        """The tensor itself: every value in a graph is contiguous."""
        return self

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Axes ``start_dim`` to ``end_dim`` merged into one."""
        with placed("flatten"):
            if self.ndim:
                indices("start_dim and end_dim", [start_dim, end_dim], self.ndim)
        return record(ops.Flatten, self, start_dim=operator.index(start_dim), end_dim=operator.index(end_dim))

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order: result axis ``i`` is this tensor's axis ``dims[i]``."""
        with placed("permute"):
            wanted = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
            axes = indices("dims", wanted, self.ndim)
        return record(ops.Transpose, self, permutation=axes)

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two axes exchanged."""
        with placed("transpose"):
            a, b = indices("dim0 and dim1", [dim0, dim1], self.ndim)
        order = list(range(self.ndim))
        order[a], order[b] = order[b], order[a]
        return record(ops.Transpose, self, permutation=tuple(order))

    @property
    def T(self) -> Tensor:  # noqa: N802 - everybody's name for it
        """A matrix with rows and columns exchanged; raises ShapeError unless there are 2 dimensions."""
        if self.ndim != 2:
            raise ShapeError(f"x.T is for 2 dimensions, got {self.type}; use permute or transpose", place("transpose"))
        return self.transpose(0, 1)

    def unsqueeze(self, dim: int) -> Tensor:
        """A new axis of size 1 before axis ``dim``."""
        with placed("unsqueeze"):
            shape = expanded_shape(self.shape, indices("dim", [dim], self.ndim + 1)[0])
        return record(ops.Reshape, self, shape=shape)

    def squeeze(self, dim: int | Sequence[int] | None = None) -> Symbolic:
        """Without its axes of size 1, or without those among ``dim``; other axes stay, as in PyTorch."""
        with placed("squeeze"):
            axes = reduced_axes(dim, self.ndim)
        gone = [axis for axis in axes if self.shape[axis] == 1]
        return record(ops.Reshape, self, shape=squeezed_shape(self.shape, gone)) if gone else self


class Tensor(Symbolic):
    """A value of the graph that is being traced. It has a type, and no elements."""

    def __init__(self, value: Value, recording: Recording) -> None:
        self._value = value
        self._recording = recording

    @property
    def type(self) -> TensorType:
        """Shape and element type."""
        return self._value.type

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The dimensions: integers that remember their axis (see :meth:`reshape`)."""
        recording = self._recording
        return tuple(
            Dim(size, axis, partial(recording.assume, self._value, axis)) for axis, size in enumerate(self.type.shape)
        )

    def value_in(self, recording: Recording) -> Value:
        """The value that stands for this tensor; raises TraceError in any trace but its own."""
        if recording is self._recording:
            return self._value
        raise TraceError(
            f"uses a tensor {self.type} of another trace; a traced tensor lives as long as its trace: do not keep it "
            "in an attribute or a global, pass it as an argument or compute it again",
            place("forward"),
        )

    def __repr__(self) -> str:
        return f"Tensor({self.type})"


def record(op_class: Callable[..., Op], *operands: Operand, **attributes: Any) -> Tensor:
    """Record one node in the active trace and return its result.

    Raises:
        ExecutionError: no trace is running.
        TraceError: an operand that is neither a symbolic tensor nor a NumPy array.
        ShapeError, DTypeError: attributes or operands that do not fit, with the user's line.
    """
    name: str = op_class.name  # type: ignore[attr-defined]
    recording = required(name)
    values = [_value(operand, name, recording) for operand in operands]
    with placed(name):
        op = op_class(**attributes)
    return Tensor(recording.emit(op, values), recording)


def _value(operand: Operand, name: str, recording: Recording) -> Value:
    if isinstance(operand, Symbolic):
        return operand.value_in(recording)
    if isinstance(operand, (np.ndarray, np.generic)):
        return recording.emit(ops.Constant(ops.Literal(operand)), [])
    raise TraceError(
        f"takes tensors and NumPy arrays, got {_described(operand)}; make a constant with np.asarray(values, "
        'dtype="float32")',
        place(name),
    )


def _described(operand: object) -> str:
    if operand is None:
        return "None"
    return f"{operand!r} of type {type(operand).__name__}" if isinstance(operand, _NUMBERS) else type(operand).__name__


def _binary(op_class: Callable[..., Op], a: Operand, b: Operand) -> Tensor:
    tensor, other = (a, b) if isinstance(a, Symbolic) else (b, a)
    if not isinstance(other, (Symbolic, np.ndarray, *_NUMBERS, list, tuple)):
        return cast(Tensor, NotImplemented)
    if isinstance(other, _NUMBERS):
        if isinstance(other, Dim):
            other.use()
        # A number takes the tensor's element type; an array keeps its own and must agree.
        constant: NDArray[Any] = np.asarray(other, dtype=tensor.dtype)
        a, b = (a, constant) if tensor is a else (constant, b)
    return record(op_class, a, b)


def _matmul(a: Operand, b: Operand) -> Tensor:
    """``a @ b``, where a vector on either side stands for a row or a column, as in NumPy."""
    if not all(isinstance(side, (Symbolic, np.ndarray, list, tuple)) for side in (a, b)):
        return cast(Tensor, NotImplemented)
    row, column = (np.ndim(side) == 1 if isinstance(side, np.ndarray) else getattr(side, "ndim", 0) == 1
                   for side in (a, b))  # fmt: skip
    result = record(ops.MatMul, a.reshape(1, -1) if row else a, b.reshape(-1, 1) if column else b)
    if row and column:
        return record(ops.Reshape, result, shape=())
    if row:
        return record(ops.Reshape, result, shape=(*[0] * (result.ndim - 2), -1))
    return record(ops.Reshape, result, shape=(0,) * (result.ndim - 1)) if column else result


def _reduce(op_class: Callable[..., Op], x: Symbolic, dim: int | Sequence[int] | None, keepdim: bool) -> Tensor:
    with placed(op_class.name):  # type: ignore[attr-defined]
        axes = reduced_axes(dim, x.ndim)
    return record(op_class, x, axes=axes, keepdims=bool(keepdim))
