"""Values known at compile time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir.op import Op
from convir.ir.types import TensorType


class Literal:
    """An immutable array that compares and hashes by content, so that equal constants merge.

    Args:
        array: copied, unless nobody can write to it: weights are large.
    """

    def __init__(self, array: Any) -> None:
        self.array: NDArray[Any] = array if _is_immutable(array) else np.array(array, order="C")
        self.array.flags.writeable = False

    @cached_property
    def digest(self) -> str:
        """A short fingerprint of the content."""
        import hashlib

        return hashlib.sha256(self.array.tobytes()).hexdigest()[:8]

    @cached_property
    def type(self) -> TensorType:
        """The tensor type of the array."""
        return TensorType(self.array.shape, self.array.dtype.name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Literal) or self.type != other.type:
            return False
        return self.array is other.array or bool((_bits(self.array) == _bits(other.array)).all())

    def __hash__(self) -> int:
        # The beginning tells most constants apart, and weights need not be read whole.
        return hash((self.type, _bits(self.array)[:64].tobytes()))

    def __repr__(self) -> str:
        return repr(self.array.item()) if self.array.size == 1 else f"<{self.digest}>"


def _is_immutable(array: object) -> bool:
    """Whether ``array`` is contiguous and neither it nor an array that it is a view of can be written to."""
    if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
        return False
    base: object = array
    while isinstance(base, np.ndarray):
        if base.flags.writeable:
            return False
        base = base.base
    return base is None


def _bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array: NaN equals NaN, and 0.0 is not -0.0."""
    return array.reshape(-1).view(np.uint8)


@dataclass(frozen=True)
class Constant(Op):
    """``y = value``"""

    name = "constant"
    kind = "constant"
    value: Literal

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        self.operands(operands)
        return (self.value.type,)
