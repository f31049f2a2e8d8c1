"""Convolution as loops over an image that lies batch-innermost, without a patch matrix."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_float, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.conv import require_groups
from convir.ir.ops.window import Pair, WindowOp, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class DirectConvOp(Op):
    """What direct convolution and its weight gradient share. Activations are (C, H, W, N), already padded."""

    kind = "convolution"
    stride: Pair = (1, 1)
    dilation: Pair = quiet((1, 1))
    groups: int = quiet(1)

    def check(self) -> None:
        require_pair("stride", self.stride, 1)
        require_pair("dilation", self.dilation, 1)
        require_groups(self.groups)

    def convolve(self, image: TensorType, weight: TensorType) -> TensorType:
        """Result type of convolving ``image`` (C,H,W,N) with ``weight`` (O,C/groups,KH,KW)."""
        require_rank("input", image, 4, "(C, H, W, N)")
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        require_float("input", image)
        dtype = require_same_dtype(input=image, weight=weight)
        (channels, height, width, batch), (filters, per_group, *kernel) = image.shape, weight.shape
        if channels != per_group * self.groups or filters % self.groups:
            raise ShapeError(f"{image} does not fit weight {weight} in {self.groups} groups")
        window = WindowOp(self.stride, (0, 0), self.dilation)
        return TensorType((filters, *window.output_size((height, width), (kernel[0], kernel[1])), batch), dtype)


@dataclass(frozen=True)
class Conv2dDirect(DirectConvOp):
    """``y[o,i,j,n] = act(bias[o] + sum over c,k,l of weight[o,c,k,l] * x[c, i*S + k*D, j*S + l*D, n])``

    with ``c`` running over the input channels of the group that ``o`` belongs to.
    """

    name = "conv2d_direct"
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
            require_type("bias", vector, image.with_shape((weight.shape[0],)))
        return (result,)


@dataclass(frozen=True)
class Conv2dDirectGradWeight(DirectConvOp):
    """``dw[o,c,k,l] = sum over i,j,n of dy[o,i,j,n] * x[c, i*S + k*D, j*S + l*D, n]``"""

    name = "conv2d_direct_grad_weight"
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


@dataclass(frozen=True)
class FlipWeight(Op):
    """``y[c,o,k,l] = w[o,c,KH-1-k,KW-1-l]``, group by group: the weights with which dx is a convolution of dy."""

    name = "flip_weight"
    kind = "layout"
    operand_names = ("weight",)
    recomputable = True
    groups: int = quiet(1)

    def check(self) -> None:
        require_groups(self.groups)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (weight,) = self.operands(operands)
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        filters, per_group, *kernel = weight.shape
        if filters % self.groups:
            raise ShapeError(f"{self.groups} groups do not divide the {filters} filters of {weight}")
        return (weight.with_shape((per_group * self.groups, filters // self.groups, *kernel)),)


@dataclass(frozen=True)
class Dilate2d(Op):
    """``y[c, i*S, j*S, n] = x[c,i,j,n]``, and 0 between: rows and columns of zeros put into (C, H, W, N)."""

    name = "dilate2d"
    kind = "layout"
    operand_names = ("input",)
    recomputable = True
    stride: Pair = (1, 1)

    def check(self) -> None:
        require_pair("stride", self.stride, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        rows, columns = ((size - 1) * step + 1 for size, step in zip((height, width), self.stride, strict=True))
        return (image.with_shape((channels, rows, columns, batch)),)
