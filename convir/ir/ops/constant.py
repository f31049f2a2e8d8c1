"""Values known at compile time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convir.ir.op import Op
from convir.ir.types import TensorType


class Literal:
    """An immutable array that compares and hashes by content, so that equal constants merge."""

    def __init__(self, array: Any) -> None:
        self.array: NDArray[Any] = np.array(array, order="C")
        self.array.flags.writeable = False

    @cached_property
    def digest(self) -> str:
        """A short fingerprint of the content."""
        return hashlib.sha256(self.array.tobytes()).hexdigest()[:8]

    @cached_property
    def type(self) -> TensorType:
        """The tensor type of the array."""
        return TensorType(self.array.shape, self.array.dtype.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Literal) and self.type == other.type and self.array.tobytes() == other.array.tobytes()

    def __hash__(self) -> int:
        return hash((self.type, self.digest))

    def __repr__(self) -> str:
        return repr(self.array.item()) if self.array.size == 1 else f"<{self.digest}>"


@dataclass(frozen=True)
class Constant(Op):
    """``y = value``"""

    name = "constant"
    kind = "constant"
    value: Literal

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        self.operands(operands)
        return (self.value.type,)
