"""Convolution by the patch matrix, of which only some columns are there at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from convir.ir.errors import ShapeError
from convir.ir.op import quiet, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.direct import DirectConvOp
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import Shape, TensorType

#: Rows, columns and samples of a result that are computed together.
Windows = tuple[slice, slice, slice]

#: Groups, and channels of each, whose patches are made together.
Channels = tuple[slice, slice]


@dataclass(frozen=True)
class Im2colMatMulOp(DirectConvOp):
    """What these products share. Activations are (C, H, W, N), already padded; weights (O, C/groups, KH, KW).

    The patch matrix is made in blocks of some rows (the patches of some channels) and some columns (output pixels times
    samples).

    Attributes:
        channels: channels of a block, at most: whole groups where one fits, else channels of one group.
        columns: columns of a block, at most: whole output rows where one fits, else whole pixels of a row, else samples
            of a pixel.
    """

    channels: int = 1
    columns: int = 1

    def check(self) -> None:
        super().check()
        for name in ("channels", "columns"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ShapeError(f"{name} must be an integer of at least 1, got {value!r}")

    def window_block(self, result: Shape) -> tuple[int, int, int]:
        """Rows, columns and samples of the largest block of a result (O, OH, OW, N)."""
        _, rows, columns, batch = result
        if self.columns >= columns * batch:
            return _even(rows, self.columns // (columns * batch)), columns, batch
        if self.columns >= batch:
            return 1, _even(columns, self.columns // batch), batch
        return 1, 1, _even(batch, self.columns)

    def channel_block(self, per_group: int) -> tuple[int, int]:
        """Groups, and channels of each, of the largest block, where a group has ``per_group`` channels."""
        if self.channels >= per_group:
            return _even(self.groups, self.channels // per_group), per_group
        return 1, _even(per_group, self.channels)

    def window_blocks(self, result: Shape) -> Iterator[Windows]:
        """The blocks of a result (O, OH, OW, N), in order."""
        yield from product(*map(_spans, result[1:], self.window_block(result)))

    def channel_blocks(self, per_group: int) -> Iterator[Channels]:
        """The blocks of channels, in order, where a group has ``per_group``."""
        yield from product(*map(_spans, (self.groups, per_group), self.channel_block(per_group)))


def _even(total: int, most: int) -> int:
    """The size of parts of about one size, of at most ``most``."""
    return -(-total // -(-total // most))


def _spans(total: int, size: int) -> list[slice]:
    return [slice(first, first + size) for first in range(0, total, size)]


@dataclass(frozen=True)
class Im2colMatMul(Im2colMatMulOp):
    """``y = act(weight @ im2col(x) + bias)``, the weight as a matrix (O, C/groups*KH*KW) for each group

    The channels of a group, which are summed over, are always in one block.
    """

    name = "im2col_matmul"
    operand_names = ("input", "weight", "bias?")
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_activation(self.activation)

    def channel_block(self, per_group: int) -> tuple[int, int]:
        """As for all, but a whole group at least."""
        return _even(self.groups, max(self.channels // per_group, 1)), per_group

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        image, weight, *bias = self.operands(operands)
        result = self.convolve(image, weight)
        for vector in bias:
            require_same_dtype(input=image, bias=vector)
            require_type("bias", vector, image.with_shape((weight.shape[0],)))
        return (result,)


@dataclass(frozen=True)
class Im2colMatMulGradInput(Im2colMatMulOp):
    """``dx = col2im(weight^T @ dy)``"""

    name = "im2col_matmul_grad_input"
    operand_names = ("grad", "weight")
    input_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("input_size", self.input_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, weight = self.operands(operands)
        require_rank("grad", grad, 4, "(O, OH, OW, N)")
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        image = grad.with_shape((weight.shape[1] * self.groups, *self.input_size, grad.shape[3]))
        require_type("grad", grad, self.convolve(image, weight))
        return (image,)


@dataclass(frozen=True)
class Im2colMatMulGradWeight(Im2colMatMulOp):
    """``dw = dy @ im2col(x)^T``"""

    name = "im2col_matmul_grad_weight"
    operand_names = ("grad", "input")
    kernel_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("kernel_size", self.kernel_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image = self.operands(operands)
        require_rank("grad", grad, 4, "(O, OH, OW, N)")
        require_rank("input", image, 4, "(C, H, W, N)")
        weight = image.with_shape((grad.shape[0], max(image.shape[0] // self.groups, 1), *self.kernel_size))
        require_type("grad", grad, self.convolve(image, weight))
        return (weight,)
