"""Matrix multiplication with an epilogue."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_float, require_same_dtype
from convir.ir.ops.activation import require_activation
from convir.ir.ops.elementwise import broadcast_shapes
from convir.ir.types import TensorType


@dataclass(frozen=True)
class MatMul(Op):
    """``y = act(op(a) @ op(b) + bias)`` over the last two axes; leading axes broadcast.

    ``op`` transposes the last two axes where asked, which costs nothing. ``bias`` is anything that
    broadcasts to the product.
    """

    name = "matmul"
    kind = "matmul"
    operand_names = ("a", "b", "bias?")
    transpose_a: bool = quiet(False)
    transpose_b: bool = quiet(False)
    activation: str | None = quiet(None)

    def check(self) -> None:
        require_activation(self.activation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        a, b, *bias = self.operands(operands)
        if a.rank < 2 or b.rank < 2:
            raise ShapeError(f"operands need at least 2 dimensions, got {a} and {b}")
        require_float("a", a)
        dtype = require_same_dtype(a=a, b=b, bias=bias[0] if bias else None)
        rows, inner = _matrix(a, self.transpose_a)
        inner_b, columns = _matrix(b, self.transpose_b)
        if inner != inner_b:
            raise ShapeError(f"inner dimensions differ: {inner} of {_label(a, self.transpose_a)} against "
                             f"{inner_b} of {_label(b, self.transpose_b)}")  # fmt: skip
        result = TensorType((*broadcast_shapes(a.shape[:-2], b.shape[:-2]), rows, columns), dtype)
        if bias and broadcast_shapes(bias[0].shape, result.shape) != result.shape:
            raise ShapeError(f"bias {bias[0]} does not broadcast to the product {result}")
        return (result,)


def _matrix(operand: TensorType, transposed: bool) -> tuple[int, int]:
    rows, columns = operand.shape[-2:]
    return (columns, rows) if transposed else (rows, columns)


def _label(operand: TensorType, transposed: bool) -> str:
    return f"{operand} transposed" if transposed else str(operand)
