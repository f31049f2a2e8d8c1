"""Tensor types: a concrete shape and an element type."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

from convir.ir.errors import DTypeError, ShapeError

Shape = tuple[int, ...]

#: Element types: full name (NumPy's) -> (short name in the text form, bytes an element).
DTYPES: dict[str, tuple[str, int]] = {
    "float32": ("f32", 4),
    "float64": ("f64", 8),
    "int64": ("i64", 8),
    "int32": ("i32", 4),
    "uint8": ("u8", 1),
    "bool": ("i1", 1),
}


@dataclass(frozen=True)
class TensorType:
    """The type of a value: ``TensorType((64, 1, 28, 28), "float32")`` prints as ``f32[64,1,28,28]``.

    Shapes are concrete: every dimension is a positive integer.

    Raises:
        ShapeError: a dimension that is not a positive integer.
        DTypeError: an element type convir does not have.
    """

    shape: Shape
    dtype: str = "float32"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", _checked_shape(self.shape))
        object.__setattr__(self, "dtype", _checked_dtype(self.dtype))

    @property
    def rank(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes an element."""
        return DTYPES[self.dtype][1]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensor."""
        return self.size * self.itemsize

    @property
    def is_float(self) -> bool:
        """Whether gradients can flow through values of this type."""
        return self.dtype.startswith("float")

    def with_shape(self, shape: Iterable[int]) -> Self:
        """This element type with another shape."""
        return replace(self, shape=tuple(shape))

    def __str__(self) -> str:
        return f"{DTYPES[self.dtype][0]}[{','.join(map(str, self.shape))}]"


def _checked_shape(shape: object) -> Shape:
    if isinstance(shape, str) or not isinstance(shape, Iterable):
        raise ShapeError(f"a shape is a tuple of positive integers, got {shape!r}")
    return tuple(_checked_dimension(dim, shape) for dim in shape)


def _checked_dimension(dim: object, shape: object) -> int:
    try:
        value = operator.index(dim)  # type: ignore[arg-type]
    except TypeError:
        raise ShapeError(f"a shape is made of positive integers, got {dim!r} in {shape!r}") from None
    if isinstance(dim, bool):
        raise ShapeError(f"a shape is made of positive integers, got {dim!r} in {shape!r}")
    if value < 1:
        hint = "; a batch (or any dimension) of 0 has nothing to compute" if value == 0 else ""
        raise ShapeError(f"every dimension must be at least 1, got {value} in {shape!r}{hint}")
    return int(value)


def _checked_dtype(dtype: object) -> str:
    name = dtype if isinstance(dtype, str) else getattr(dtype, "name", getattr(dtype, "__name__", repr(dtype)))
    name = name.removeprefix("torch.") if isinstance(name, str) else name
    if name not in DTYPES:
        raise DTypeError(f"unknown element type {name!r}; convir has {', '.join(DTYPES)}")
    return str(name)
