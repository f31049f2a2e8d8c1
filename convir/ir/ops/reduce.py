"""Reductions over chosen axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_float, require_integers, require_type
from convir.ir.types import TensorType


@dataclass(frozen=True)
class ReduceOp(Op):
    """Attributes of all reductions: ``axes`` sorted and not negative."""

    kind = "reduction"
    operand_names: ClassVar[tuple[str, ...]] = ("input",)
    axes: tuple[int, ...] = ()
    keepdims: bool = quiet(False)

    def check(self) -> None:
        require_integers("axes", self.axes)
        if list(self.axes) != sorted(set(self.axes)) or any(axis < 0 for axis in self.axes):
            raise ShapeError(f"axes must be sorted, distinct and not negative, got {self.axes}")

    def reduced(self, value: TensorType, keepdims: bool) -> TensorType:
        """``value`` with the axes gone, or kept as 1."""
        require_float("input", value)
        if self.axes and self.axes[-1] >= value.rank:
            raise ShapeError(f"axes {self.axes} are out of range for {value}")
        kept = [1 if axis in self.axes else dim for axis, dim in enumerate(value.shape)]
        return value.with_shape(kept if keepdims else [d for axis, d in enumerate(kept) if axis not in self.axes])

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        return (self.reduced(value, self.keepdims),)


class Sum(ReduceOp):
    """``y = sum of x over axes``"""

    name = "sum"


class Mean(ReduceOp):
    """``y = sum of x over axes / number of elements summed``"""

    name = "mean"


class Max(ReduceOp):
    """``y = max of x over axes``"""

    name = "max"


class MaxGrad(ReduceOp):
    """The cotangent of a maximum, divided evenly among the elements that reach it (PyTorch's ``amax``).

    ``dx = dy * (x == y) / count of (x == y) over axes``. ``grad`` and ``result`` are those of the
    reduction with this op's ``keepdims``.
    """

    name = "max_grad"
    operand_names = ("grad", "input", "result")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, value, result = self.operands(operands)
        expected = self.reduced(value, self.keepdims)
        require_type("grad", grad, expected)
        require_type("result", result, expected)
        return (value,)
