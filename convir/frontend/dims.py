"""Shapes and axes as users write them, brought into the form that ops take."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

from convir.frontend.source import is_ours
from convir.ir import ConvirError, Shape, ShapeError
from convir.ir.ops import normalize_axis

_ENTRIES = "a shape holds positive integers and at most one -1"


class Dim(int):
    """One dimension of a tensor's shape: an integer that remembers its axis.

    ``x.reshape(x.shape[0], -1)`` can thus be recorded as "keep axis 0", which holds for any batch
    size. Arithmetic gives plain integers, and comparisons plain answers, that hold for this size
    only: where the user's code asks for one, ``on_use`` is called.
    """

    axis: int
    on_use: Callable[[], None] | None

    def __new__(cls, size: int, axis: int, on_use: Callable[[], None] | None = None) -> Dim:
        dim = super().__new__(cls, size)
        dim.axis, dim.on_use = axis, on_use
        return dim

    def __getnewargs__(self) -> tuple[int, int]:  # type: ignore[override]
        return int(self), self.axis

    def __getstate__(self) -> None:
        """Copies and pickles are of the number; they are beyond the trace."""

    def use(self) -> None:
        """Note that something is computed from the size."""
        if self.on_use is not None:
            self.on_use()


def _noted(name: str) -> Callable[..., Any]:
    plain = getattr(int, name)

    def method(self: Dim, *args: Any) -> Any:
        if not is_ours(sys._getframe(1)):
            for dim in (self, *args):
                if isinstance(dim, Dim):
                    dim.use()
        return plain(self, *args)

    return method


_COMPUTING = ("add", "sub", "mul", "floordiv", "truediv", "mod", "divmod", "pow")
_ASKING = ("lt", "le", "eq", "ne", "gt", "ge", "neg", "abs", "round", "float", "int", "bool")
for _name in (*_COMPUTING, *(f"r{name}" for name in _COMPUTING), *_ASKING):
    setattr(Dim, f"__{_name}__", _noted(f"__{_name}__"))


def requested_shape(shape: tuple[Any, ...], current: Shape) -> Shape:
    """Arguments of ``reshape`` as the Reshape op takes them: 0 keeps a dimension, -1 takes what is left."""
    entries = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    sizes = [_dimension(entry, entries) for entry in entries]
    if sizes.count(-1) > 1:
        raise ShapeError(f"{_ENTRIES}, got {sizes.count(-1)} of them in {entries!r}")
    kept = [_keeps(entry, axis, current) for axis, entry in enumerate(entries)]
    result = [0 if keep else size for keep, size in zip(kept, sizes, strict=True)]
    # A dimension that moved to another place, if it is the only one, is what the others leave over.
    moved = [axis for axis, entry in enumerate(entries) if isinstance(entry, Dim) and not kept[axis]]
    if len(moved) == 1 and prod(sizes) == prod(current):
        result[moved[0]] = -1
    return tuple(result)


def _keeps(entry: object, axis: int, current: Shape) -> bool:
    return isinstance(entry, Dim) and entry.axis == axis and axis < len(current) and entry == current[axis]


def _dimension(entry: object, shape: object) -> int:
    size = _integer("shape", entry)
    if size > 0 or size == -1:
        return size
    hint = "; to keep the batch dimension write x.shape[0]" if size == 0 else ""
    raise ShapeError(f"{_ENTRIES}, got {size} in {shape!r}{hint}")


def expanded_shape(current: Shape, axis: int) -> Shape:
    """``current`` with a 1 before ``axis``, for Reshape: what stays is kept, the first to move is inferred."""
    return tuple([0] * axis + [1] + _moved(current[axis:]))


def squeezed_shape(current: Shape, gone: Sequence[int]) -> Shape:
    """``current`` without the axes ``gone``, for Reshape."""
    first = min(gone)
    rest = tuple(size for axis, size in enumerate(current) if axis > first and axis not in gone)
    return tuple([0] * first + _moved(rest))


def _moved(sizes: Shape) -> list[int]:
    """Dimensions that change their place: Reshape can leave one of them open."""
    return [-1, *(int(size) for size in sizes[1:])] if sizes else []


def reduced_axes(dim: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """Sorted axes, none negative; None and () mean all of them, as in PyTorch."""
    wanted = list(dim) if isinstance(dim, (tuple, list)) else [dim] if dim is not None else []
    axes = sorted(indices("dim", wanted, rank)) if wanted else list(range(rank))
    if len(set(axes)) != len(axes):
        raise ShapeError(f"dim {dim} names an axis twice in {rank} dimensions")
    return tuple(axes)


def indices(label: str, axes: Iterable[object], rank: int) -> tuple[int, ...]:
    """Axes as non-negative integers; raises ShapeError for anything else."""
    return tuple(normalize_axis(_integer(label, axis), rank) for axis in axes)


def as_integer(value: object) -> int | None:
    """``value`` as a plain integer, or None if it is not one; True and False are none either."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        return None
    try:
        return int(operator.index(value))
    except TypeError as error:
        if isinstance(error, ConvirError):
            raise  # a traced tensor: its own message says more
        return None


def _integer(label: str, value: object) -> int:
    number = as_integer(value)
    if number is None:
        raise ShapeError(f"{label} is made of integers, got {value!r}")
    return number
