"""Convolution and its two gradients, as model ops: NCHW activations, OIHW weights, cross-correlation."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import quiet, require_float, require_rank, require_same_dtype, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.window import Pair, WindowOp, require_pair
from convir.ir.types import TensorType


def require_groups(groups: object) -> None:
    """Raise ShapeError unless ``groups`` is an integer of at least 1."""
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
        raise ShapeError(f"groups must be an integer of at least 1, got {groups!r}")


@dataclass(frozen=True)
class ConvOp(WindowOp):
    """What a convolution and its gradients share: window attributes and groups."""

    kind = "convolution"
    groups: int = quiet(1)

    def check(self) -> None:
        super().check()
        require_groups(self.groups)

    def convolve(self, image: TensorType, weight: TensorType) -> TensorType:
        """Result type of convolving ``image`` (N,C,H,W) with ``weight`` (O,C/groups,KH,KW)."""
        require_rank("input", image, 4, "(N, C, H, W)")
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        require_float("input", image)
        dtype = require_same_dtype(input=image, weight=weight)
        (batch, channels, *size), (filters, per_group, *kernel) = image.shape, weight.shape
        if channels % self.groups or filters % self.groups:
            raise ShapeError(
                f"groups={self.groups} must divide both the {channels} input and the {filters} output channels"
            )
        if channels != per_group * self.groups:
            expects = f"{per_group * self.groups}" + (
                f" ({self.groups} groups of {per_group})" if self.groups > 1 else ""
            )
            noun = "channel" if channels == 1 else "channels"
            raise ShapeError(f"input has {channels} {noun}, weight {weight} expects {expects}")
        rows, columns = self.output_size((size[0], size[1]), (kernel[0], kernel[1]))
        return TensorType((batch, filters, rows, columns), dtype)


@dataclass(frozen=True)
class Conv2d(ConvOp):
    """Two-dimensional cross-correlation with an optional fused activation.

    ``y[n,o,i,j] = act(bias[o] + sum over c,k,l of weight[o,c,k,l] * x[n, c, i*S + k*D - P, j*S + l*D - P])``

    with ``c`` running over the input channels of the group that ``o`` belongs to.
    """

    name = "conv2d"
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
class Conv2dGradWeight(ConvOp):
    """Gradient of a convolution in its weight.

    ``dw[o,c,k,l] = sum over n,i,j of dy[n,o,i,j] * x[n, c, i*S + k*D - P, j*S + l*D - P]``
    """

    name = "conv2d_grad_weight"
    operand_names = ("grad", "input")
    kernel_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("kernel_size", self.kernel_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image = self.operands(operands)
        require_rank("grad", grad, 4, "(N, O, OH, OW)")
        require_rank("input", image, 4, "(N, C, H, W)")
        weight = image.with_shape((grad.shape[1], max(image.shape[1] // self.groups, 1), *self.kernel_size))
        require_type("grad", grad, self.convolve(image, weight))
        return (weight,)


@dataclass(frozen=True)
class Conv2dGradInput(ConvOp):
    """Gradient of a convolution in its input: every output scatters back to the pixels it read.

    ``dx[n, c, i*S + k*D - P, j*S + l*D - P] += dy[n,o,i,j] * weight[o,c,k,l]``
    """

    name = "conv2d_grad_input"
    operand_names = ("grad", "weight")
    input_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("input_size", self.input_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, weight = self.operands(operands)
        require_rank("grad", grad, 4, "(N, O, OH, OW)")
        require_rank("weight", weight, 4, "(O, C/groups, KH, KW)")
        image = grad.with_shape((grad.shape[0], weight.shape[1] * self.groups, *self.input_size))
        require_type("grad", grad, self.convolve(image, weight))
        return (image,)
