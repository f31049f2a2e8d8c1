"""Depthwise convolution: every channel has filters of its own, and none sees another channel."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import quiet, require_float, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.polyphase import PolyphaseOp
from convir.ir.ops.window import Pair, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class DepthwiseOp(PolyphaseOp):
    """What depthwise convolution and its gradients share. Images are (C, SH*SW*H, W, N), see PolyphaseOp.

    Each channel has M filters, the depth multiplier; the weight is (C*M, 1, KH, KW) and results are (C*M, OH, OW, N).
    """

    def convolve(self, image: TensorType, weight: TensorType) -> TensorType:
        """Result type of convolving ``image`` with ``weight``."""
        require_rank("weight", weight, 4, "(C*M, 1, KH, KW)")
        size = self.output_size(image, (weight.shape[2], weight.shape[3]))
        require_float("input", image)
        dtype = require_same_dtype(input=image, weight=weight)
        if weight.shape[1] != 1 or weight.shape[0] % image.shape[0]:
            raise ShapeError(f"weight {weight} does not give each channel of {image} as many filters of its own")
        return TensorType((weight.shape[0], *size, image.shape[3]), dtype)


@dataclass(frozen=True)
class DepthwiseConv2d(DepthwiseOp):
    """``y[c*M + m, i, j, n] = act(bias[c*M + m] + sum over k,l of weight[c*M + m, 0, k, l] * x[c, tap, n])``

    with ``tap`` the pixel ``i*S + k*D, j*S + l*D`` of the image.
    """

    name = "depthwise_conv2d"
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
class DepthwiseConv2dGradInput(DepthwiseOp):
    """``dx[c, tap, n] += sum over m of weight[c*M + m, 0, k, l] * dy[c*M + m, i, j, n]``, 0 where no tap is."""

    name = "depthwise_conv2d_grad_input"
    operand_names = ("grad", "weight")
    multiplier: int = 1

    def check(self) -> None:
        super().check()
        if not isinstance(self.multiplier, int) or isinstance(self.multiplier, bool) or self.multiplier < 1:
            raise ShapeError(f"multiplier must be an integer of at least 1, got {self.multiplier!r}")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, weight = self.operands(operands)
        require_rank("grad", grad, 4, "(C*M, OH, OW, N)")
        require_rank("weight", weight, 4, "(C*M, 1, KH, KW)")
        channels = max(weight.shape[0] // self.multiplier, 1)
        image = self.image(channels, grad, (weight.shape[2], weight.shape[3]))
        if channels * self.multiplier != weight.shape[0]:
            raise ShapeError(f"weight {weight} has not {self.multiplier} filters for each channel")
        require_type("grad", grad, self.convolve(image, weight))
        return (image,)


@dataclass(frozen=True)
class DepthwiseConv2dGradWeight(DepthwiseOp):
    """``dw[c*M + m, 0, k, l] = sum over i,j,n of dy[c*M + m, i, j, n] * x[c, tap, n]``"""

    name = "depthwise_conv2d_grad_weight"
    operand_names = ("grad", "input")
    kernel_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("kernel_size", self.kernel_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image = self.operands(operands)
        require_rank("grad", grad, 4, "(C*M, OH, OW, N)")
        weight = image.with_shape((grad.shape[0], 1, *self.kernel_size))
        require_type("grad", grad, self.convolve(image, weight))
        return (weight,)
