"""Ops that draw random numbers."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, require_float
from convir.ir.types import TensorType


@dataclass(frozen=True)
class DropoutMask(Op):
    """``y = 0 with probability p, otherwise 1 / (1 - p)``, of the operand's type.

    The operand gives the type only; its elements are not read.
    """

    name = "dropout_mask"
    kind = "random"
    operand_names = ("like",)
    random = True
    p: float = 0.5

    def check(self) -> None:
        if not 0.0 <= self.p <= 1.0:
            raise ShapeError(f"dropout probability must lie between 0 and 1, got {self.p}")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (like,) = self.operands(operands)
        require_float("like", like)
        return (like,)
