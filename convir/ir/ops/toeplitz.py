"""What a convolution that computes blocks of outputs at once needs: its weights, its places, and the adjoints."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir.errors import ShapeError
from convir.ir.op import Op, require_rank
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class ToeplitzOp(Op):
    """What widening and its adjoint share: rows and columns of a block, and how far apart their windows are."""

    operand_names = ("weight",)
    recomputable = True
    block: Pair = (1, 1)
    stride: Pair = (1, 1)

    def check(self) -> None:
        require_pair("block", self.block, 1)
        require_pair("stride", self.stride, 1)

    @property
    def further(self) -> Pair:
        """How many rows and columns the last window of a block lies from the first."""
        rows, columns = ((count - 1) * step for count, step in zip(self.block, self.stride, strict=True))
        return rows, columns

    def weight(self, *operands: TensorType) -> TensorType:
        """The operand; raises ShapeError unless it is the weight of a convolution."""
        (weight,) = self.operands(operands)
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        return weight


class ToeplitzWeight(ToeplitzOp):
    """``y[(o*P+p)*Q+q, c, p*S+k, q*T+l] = w[o, c, k, l]``, 0 elsewhere: a block of P x Q outputs as so many filters.

    All of them read one larger window. Along each axis, a filter becomes a banded Toeplitz matrix.
    """

    name = "toeplitz_weight"
    kind = "layout"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        weight = self.weight(*operands)
        filters, channels, height, width = weight.shape
        down, across = self.further
        return (weight.with_shape((filters * prod(self.block), channels, height + down, width + across)),)


class ToeplitzWeightGrad(ToeplitzOp):
    """``dw[o, c, k, l] = sum_pq dy[(o*P+p)*Q+q, c, p*S+k, q*T+l]``: the adjoint of toeplitz_weight."""

    name = "toeplitz_weight_grad"
    kind = "reduction"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        weight = self.weight(*operands)
        filters, channels, height, width = weight.shape
        (down, across), count = self.further, prod(self.block)
        if filters % count or height <= down or width <= across:
            raise ShapeError(f"{weight} is not a weight for blocks of {self.block} outputs with stride {self.stride}")
        return (weight.with_shape((filters // count, channels, height - down, width - across)),)


@dataclass(frozen=True)
class BlockOp(Op):
    """Moves elements of an activation (C, H, W, N) between its plane and its channels, a block for each channel."""

    kind = "layout"
    operand_names = ("input",)
    recomputable = True
    block: Pair = (1, 1)

    def check(self) -> None:
        require_pair("block", self.block, 1)


class DepthToSpace(BlockOp):
    """``y[c, i*P+p, j*Q+q, n] = x[(c*P+p)*Q+q, i, j, n]``: ONNX's DepthToSpace, mode CRD."""

    name = "depth_to_space"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        (rows, columns), count = self.block, prod(self.block)
        if channels % count:
            raise ShapeError(f"the {channels} channels of {image} are no multiple of the {count} of block={self.block}")
        return (image.with_shape((channels // count, height * rows, width * columns, batch)),)


class SpaceToDepth(BlockOp):
    """``y[(c*P+p)*Q+q, i, j, n] = x[c, i*P+p, j*Q+q, n]``: the adjoint of depth_to_space, and its inverse."""

    name = "space_to_depth"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        rows, columns = self.block
        if height % rows or width % columns:
            raise ShapeError(f"the {height} x {width} plane of {image} is no multiple of block={self.block}")
        return (image.with_shape((channels * rows * columns, height // rows, width // columns, batch)),)
