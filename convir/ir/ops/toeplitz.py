"""What a convolution that computes blocks of output rows at once needs: its weights, its rows, and the adjoints."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, require_rank
from convir.ir.types import TensorType


@dataclass(frozen=True)
class ToeplitzOp(Op):
    """What widening and its adjoint share: how many output rows a block has, and how far apart their windows are."""

    operand_names = ("weight",)
    recomputable = True
    rows: int = 1
    stride: int = 1

    def check(self) -> None:
        _require_count("rows", self.rows)
        _require_count("stride", self.stride)

    @property
    def further(self) -> int:
        """How many rows the last window of a block lies below the first."""
        return (self.rows - 1) * self.stride

    def weight(self, *operands: TensorType) -> TensorType:
        """The operand; raises ShapeError unless it is the weight of a convolution."""
        (weight,) = self.operands(operands)
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        return weight


class ToeplitzWeight(ToeplitzOp):
    """``y[o*P + p, c, p*S + k, l] = w[o, c, k, l]``, 0 elsewhere: P output rows as P filters of a taller window.

    Over the rows, filter ``o`` becomes a banded Toeplitz matrix of P rows.
    """

    name = "toeplitz_weight"
    kind = "layout"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        weight = self.weight(*operands)
        filters, channels, height, width = weight.shape
        return (weight.with_shape((filters * self.rows, channels, height + self.further, width)),)


class ToeplitzWeightGrad(ToeplitzOp):
    """``dw[o, c, k, l] = sum_p dy[o*P + p, c, p*S + k, l]``: the adjoint of toeplitz_weight."""

    name = "toeplitz_weight_grad"
    kind = "reduction"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        weight = self.weight(*operands)
        filters, channels, height, width = weight.shape
        if filters % self.rows or height <= self.further:
            raise ShapeError(f"{weight} is not a weight for blocks of {self.rows} rows with stride {self.stride}")
        return (weight.with_shape((filters // self.rows, channels, height - self.further, width)),)


@dataclass(frozen=True)
class RowBlockOp(Op):
    """Moves elements of an activation (C, H, W, N): ``rows`` neighbouring rows are as many neighbouring channels."""

    kind = "layout"
    operand_names = ("input",)
    recomputable = True
    rows: int = 1

    def check(self) -> None:
        _require_count("rows", self.rows)


class DepthToRows(RowBlockOp):
    """``y[c, i*P + p, j, n] = x[c*P + p, i, j, n]``: blocks of rows that stood in channels, in their places.

    ONNX's DepthToSpace (mode CRD) along one axis.
    """

    name = "depth_to_rows"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        if channels % self.rows:
            raise ShapeError(f"the {channels} channels of {image} are no multiple of rows={self.rows}")
        return (image.with_shape((channels // self.rows, height * self.rows, width, batch)),)


class RowsToDepth(RowBlockOp):
    """``y[c*P + p, i, j, n] = x[c, i*P + p, j, n]``: the adjoint of depth_to_rows, and its inverse."""

    name = "rows_to_depth"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        if height % self.rows:
            raise ShapeError(f"the {height} rows of {image} are no multiple of rows={self.rows}")
        return (image.with_shape((channels * self.rows, height // self.rows, width, batch)),)


def _require_count(label: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ShapeError(f"{label} must be an integer of at least 1, got {value!r}")
