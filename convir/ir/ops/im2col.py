"""The patch matrix of a convolution, and its adjoint."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet, require_rank, require_type
from convir.ir.ops.window import Pair, WindowOp, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class PatchOp(Op):
    """What im2col and col2im share. Activations are (C, H, W, N), already padded.

    The patch matrix is (C*KH*KW, OH*OW*N): row (c, k, l) holds what kernel tap (k, l) of channel c
    sees at every window position. It is ``KH*KW`` times as large as the image it is made from.
    """

    kind = "layout"
    operand_names = ("input",)
    recomputable = True
    kernel_size: Pair = (1, 1)
    stride: Pair = (1, 1)
    dilation: Pair = quiet((1, 1))

    def check(self) -> None:
        require_pair("kernel_size", self.kernel_size, 1)
        require_pair("stride", self.stride, 1)
        require_pair("dilation", self.dilation, 1)

    def output_size(self, size: Pair) -> Pair:
        """Window positions over a plane of ``size``."""
        return WindowOp(self.stride, (0, 0), self.dilation).output_size(size, self.kernel_size)

    def patches(self, image: TensorType) -> TensorType:
        """Type of the patch matrix of ``image``."""
        require_rank("input", image, 4, "(C, H, W, N)")
        channels, height, width, batch = image.shape
        rows, columns = self.output_size((height, width))
        taps = self.kernel_size[0] * self.kernel_size[1]
        return image.with_shape((channels * taps, rows * columns * batch))


class Im2col(PatchOp):
    """``y[(c,k,l), (i,j,n)] = x[c, i*S + k*D, j*S + l*D, n]``"""

    name = "im2col"

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        return (self.patches(image),)


@dataclass(frozen=True)
class Col2im(PatchOp):
    """``y[c, i*S + k*D, j*S + l*D, n] += x[(c,k,l), (i,j,n)]``: the adjoint of im2col."""

    name = "col2im"
    recomputable = False
    input_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("input_size", self.input_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (patches,) = self.operands(operands)
        require_rank("patches", patches, 2, "(C*KH*KW, OH*OW*N)")
        taps = self.kernel_size[0] * self.kernel_size[1]
        rows, columns = self.output_size(self.input_size)
        if patches.shape[0] % taps or patches.shape[1] % (rows * columns):
            raise ShapeError(f"{patches} is not a patch matrix of kernel {self.kernel_size} over {self.input_size}")
        image = patches.with_shape((patches.shape[0] // taps, *self.input_size, patches.shape[1] // (rows * columns)))
        require_type("patches", patches, self.patches(image))
        return (image,)
