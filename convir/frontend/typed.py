"""What can be asked of a symbolic tensor: its shape and element type."""

from __future__ import annotations

from typing import Any

import numpy as np

from convir.frontend.dims import indices
from convir.frontend.recording import Recording, place, placed
from convir.frontend.refusals import NoValue
from convir.ir import TensorType, TraceError, Value


class Typed(NoValue):
    """Something with a shape and an element type, that stands for a value in a graph."""

    @property
    def type(self) -> TensorType:
        """Shape and element type."""
        raise NotImplementedError

    def value_in(self, recording: Recording) -> Value:
        """The value that stands for this in the graph being recorded."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, as a tuple of integers."""
        return self.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, as NumPy has it."""
        return np.dtype(self.type.dtype)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.type.rank

    def dim(self) -> int:
        """Number of dimensions."""
        return self.type.rank

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one dimension of it."""
        if dim is None:
            return self.shape
        with placed("size"):
            return self.shape[indices("dim", [dim], self.ndim)[0]]

    def numel(self) -> int:
        """Number of elements."""
        return self.type.size

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TraceError("a tensor without dimensions has no length", place("len(x)"))
        return self.shape[0]
