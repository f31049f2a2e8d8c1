"""Element-by-element arithmetic with NumPy's broadcasting."""

from __future__ import annotations

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


class Add(BinaryOp):
    """``y = a + b``"""

    name = "add"


class Sub(BinaryOp):
    """``y = a - b``"""

    name = "sub"


class Mul(BinaryOp):
    """``y = a * b``"""

    name = "mul"


class Div(BinaryOp):
    """``y = a / b``"""

    name = "div"


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


class Neg(UnaryOp):
    """``y = -x``"""

    name = "neg"


class Exp(UnaryOp):
    """``y = e ** x``"""

    name = "exp"


class Log(UnaryOp):
    """``y = ln x``"""

    name = "log"


class Sqrt(UnaryOp):
    """``y = sqrt x``"""

    name = "sqrt"
