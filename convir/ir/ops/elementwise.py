"""Element-by-element arithmetic with NumPy's broadcasting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from convir.ir.errors import ShapeError
from convir.ir.op import Op, require_float, require_same_dtype
from convir.ir.types import Shape, TensorType


def broadcast_shapes(a: Shape, b: Shape) -> Shape:
    """NumPy's rule: align at the right; a dimension of 1 stretches. Raises ShapeError."""
    rank = max(len(a), len(b))
    padded_a, padded_b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    if any(p != q and 1 not in (p, q) for p, q in zip(padded_a, padded_b, strict=True)):
        raise ShapeError(f"shapes {list(a)} and {list(b)} do not broadcast together")
    return tuple(max(p, q) for p, q in zip(padded_a, padded_b, strict=True))


@dataclass(frozen=True)
class BinaryOp(Op):
    """Two operands of one element type that broadcast together."""

    kind = "elementwise"
    operand_names = ("a", "b")
    inplace = (0, 1)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        a, b = self.operands(operands)
        require_float("a", a)
        return (TensorType(broadcast_shapes(a.shape, b.shape), require_same_dtype(a=a, b=b)),)


@dataclass(frozen=True)
class Add(BinaryOp):
    """``y = a + b``"""

    name = "add"


@dataclass(frozen=True)
class Sub(BinaryOp):
    """``y = a - b``"""

    name = "sub"


@dataclass(frozen=True)
class Mul(BinaryOp):
    """``y = a * b``"""

    name = "mul"


@dataclass(frozen=True)
class Div(BinaryOp):
    """``y = a / b``"""

    name = "div"


@dataclass(frozen=True)
class UnaryOp(Op):
    """One operand, one result of the same type."""

    kind: ClassVar[str] = "elementwise"
    operand_names = ("input",)
    inplace = (0,)
    recomputable = True

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (value,) = self.operands(operands)
        require_float("input", value)
        return (value,)


@dataclass(frozen=True)
class Neg(UnaryOp):
    """``y = -x``"""

    name = "neg"


@dataclass(frozen=True)
class Exp(UnaryOp):
    """``y = e ** x``"""

    name = "exp"


@dataclass(frozen=True)
class Log(UnaryOp):
    """``y = ln x``"""

    name = "log"


@dataclass(frozen=True)
class Sqrt(UnaryOp):
    """``y = sqrt x``"""

    name = "sqrt"
