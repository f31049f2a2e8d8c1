"""Convolution as one matrix product for each kernel tap, with a shifted run of the image."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import quiet, require_float, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.conv import require_groups
from convir.ir.ops.polyphase import PolyphaseOp
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class ShiftOp(PolyphaseOp):
    """What shifted products share. Images are (C, SH*SW*H, W, N), see PolyphaseOp; weights (KH, KW, O, C/groups).

    Attributes:
        groups: channels and filters are divided into so many, each with products of its own.
        rows: output rows of a block, the last block what is left: what is computed at a time.
    """

    groups: int = quiet(1)
    rows: int = 1

    def check(self) -> None:
        super().check()
        require_groups(self.groups)
        if not isinstance(self.rows, int) or isinstance(self.rows, bool) or self.rows < 1:
            raise ShapeError(f"rows must be an integer of at least 1, got {self.rows!r}")

    def convolve(self, image: TensorType, weight: TensorType) -> TensorType:
        """Result type of convolving ``image`` with ``weight``."""
        require_rank("weight", weight, 4, "(KH, KW, O, C/groups)")
        *kernel, filters, per_group = weight.shape
        size = self.output_size(image, (kernel[0], kernel[1]))
        require_float("input", image)
        dtype = require_same_dtype(input=image, weight=weight)
        if image.shape[0] != per_group * self.groups or filters % self.groups:
            raise ShapeError(f"{image} does not fit weight {weight} in {self.groups} groups")
        return TensorType((filters, *size, image.shape[3]), dtype)

    def computed(self, image: TensorType, result: TensorType) -> int:
        """Columns of the products of one tap, of all blocks: the windows, and the ends of rows between them.

        A run goes from the first window of a block to its last, and so through ``W - OW`` columns behind each row but
        the block's last, in which no window is.
        """
        _, rows, columns, batch = result.shape
        blocks = -(-rows // self.rows)
        return (rows * columns + (rows - blocks) * (image.shape[2] - columns)) * batch


@dataclass(frozen=True)
class ShiftedMatMul(ShiftOp):
    """``y = act(bias + sum over k,l of weight[k,l] @ x shifted to tap (k,l))``, a product for each tap

    with the pixels that the tap sees of x as the columns of a matrix (C/groups, OH*OW*N).
    """

    name = "shifted_matmul"
    operand_names = ("input", "weight", "bias?")
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_activation(self.activation)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        image, weight, *bias = self.operands(operands)
        result = self.convolve(image, weight)
        for vector in bias:
            require_same_dtype(input=image, bias=vector)
            require_type("bias", vector, image.with_shape((result.shape[0],)))
        return (result,)


@dataclass(frozen=True)
class ShiftedMatMulGradInput(ShiftOp):
    """``dx shifted to tap (k,l) += weight[k,l]^T @ dy``, for each tap in turn; 0 where no tap is"""

    name = "shifted_matmul_grad_input"
    operand_names = ("grad", "weight")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, weight = self.operands(operands)
        require_rank("grad", grad, 4, "(O, OH, OW, N)")
        require_rank("weight", weight, 4, "(KH, KW, O, C/groups)")
        image = self.image(weight.shape[3] * self.groups, grad, (weight.shape[0], weight.shape[1]))
        require_type("grad", grad, self.convolve(image, weight))
        return (image,)


@dataclass(frozen=True)
class ShiftedMatMulGradWeight(ShiftOp):
    """``dw[k,l] = dy @ (x shifted to tap (k,l))^T``"""

    name = "shifted_matmul_grad_weight"
    operand_names = ("grad", "input")
    kernel_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("kernel_size", self.kernel_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image = self.operands(operands)
        require_rank("grad", grad, 4, "(O, OH, OW, N)")
        require_rank("input", image, 4, "(C, SH*SW*H, W, N)")
        weight = image.with_shape((*self.kernel_size, grad.shape[0], max(image.shape[0] // self.groups, 1)))
        require_type("grad", grad, self.convolve(image, weight))
        return (weight,)
