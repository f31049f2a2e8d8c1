"""Max and average pooling with their gradients, as model ops and as lowered ones.

The model ops run as explicit loops. The ``_taps`` ops compute the same thing one kernel tap at a
time: tap (k, l) of every window is a strided view of the whole input, so a K x K pooling is K * K
vectorised steps. They also choose a layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from convir.ir.errors import ShapeError
from convir.ir.op import quiet, require_float, require_rank, require_type
from convir.ir.ops.activation import require_activation
from convir.ir.ops.layout import NCHW, require_layout, spatial_size, with_spatial_size
from convir.ir.ops.window import Pair, WindowOp, require_pair
from convir.ir.types import TensorType


@dataclass(frozen=True)
class PoolOp(WindowOp):
    """What all poolings share."""

    kind = "pooling"
    kernel_size: Pair = (1, 1)
    ceil_mode: bool = quiet(False)

    #: Lowered poolings override this with an attribute.
    layout = NCHW

    def check(self) -> None:
        # First: where no stride is given, it is the kernel size.
        require_pair("kernel_size", self.kernel_size, 1)
        super().check()
        require_layout(self.layout)
        # PyTorch's rule: half of the kernel's taps, however far dilation spreads them.
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ShapeError(f"padding {self.padding} is more than half of the window {self.kernel_size}")

    def pooled(self, image: TensorType) -> TensorType:
        """Result type of pooling ``image``."""
        require_rank("input", image, 4, f"({', '.join(self.layout)})")
        require_float("input", image)
        size = self.output_size(spatial_size(image, self.layout), self.kernel_size, self.ceil_mode)
        return with_spatial_size(image, self.layout, size)

    def reads_padding_only(self, size: Pair) -> bool:
        """Whether some window over an input plane of ``size`` holds no pixel: dilated taps can straddle a small one."""
        counts = self.output_size(size, self.kernel_size, self.ceil_mode)
        return not all(self._holds_pixel(axis, i, size[axis]) for axis in (0, 1) for i in range(counts[axis]))

    def _holds_pixel(self, axis: int, index: int, size: int) -> bool:
        start = index * self.stride[axis] - self.padding[axis]
        return any(0 <= start + tap * self.dilation[axis] < size for tap in range(self.kernel_size[axis]))


@dataclass(frozen=True)
class MaxPool2d(PoolOp):
    """The maximum of each window, with an optional bias for each channel and an activation after it.

    ``y[n,c,i,j] = act(max over k,l of x[n, c, i*S + k*D - P, j*S + l*D - P] + bias[c])``; padding is -inf.
    """

    name = "max_pool2d"
    operand_names = ("input", "bias?")
    activation: str | None = quiet(None)

    def check(self) -> None:
        super().check()
        require_activation(self.activation)

    @property
    def activation_keeps_maxima(self) -> bool:
        """Whether the activation leaves a maximum as it is, or gives 0 where its gradient is 0 too."""
        return self.activation in (None, "relu")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        image, *bias = self.operands(operands)
        result = self.pooled(image)
        for vector in bias:
            require_type("bias", vector, image.with_shape((image.shape[self.layout.index("C")],)))
        return (result,)


@dataclass(frozen=True)
class MaxPool2dGrad(PoolOp):
    """Each window's cotangent goes to its maximum; among equals, to the first in row-major order.

    ``dx[argmax of window (i,j)] += dy[i,j]``. ``maximum`` is that of each window, before bias and activation; it may
    be larger where ``grad`` is 0, which then goes nowhere. Where it is left out it is computed again.
    """

    name = "max_pool2d_grad"
    operand_names = ("grad", "input", "maximum?")

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        grad, image, *maximum = self.operands(operands)
        expected = self.pooled(image)
        for values in maximum:
            require_type("maximum", values, expected)
        require_type("grad", grad, expected)
        return (image,)


@dataclass(frozen=True)
class AvgPoolOp(PoolOp):
    """What average pooling and its gradient share: the divisor of each window."""

    count_include_pad: bool = quiet(True)
    divisor_override: int | None = quiet(None)

    def check(self) -> None:
        super().check()
        if self.dilation != (1, 1):
            raise ShapeError(f"average pooling has no dilation, got {self.dilation}")
        if self.divisor_override == 0:
            raise ShapeError("divisor_override must not be 0")

    def divisor(self, size: Pair, row: int, column: int) -> int:
        """What the sum of window (row, column) is divided by, over an input plane of ``size``.

        The part of a window beyond the padding (``ceil_mode``) never counts; the padding counts
        with ``count_include_pad`` (PyTorch's rule, ``avg_pool2d`` in ATen).
        """
        if self.divisor_override is not None:
            return self.divisor_override
        padding = self.padding if self.count_include_pad else (0, 0)
        return prod(self._covered(axis, index, size[axis], padding[axis]) for axis, index in ((0, row), (1, column)))

    def _covered(self, axis: int, index: int, size: int, counted_padding: int) -> int:
        start = index * self.stride[axis] - self.padding[axis]
        stop = min(start + self.kernel_size[axis], size + self.padding[axis])
        return min(stop, size + counted_padding) - max(start, -counted_padding)


@dataclass(frozen=True)
class AvgPool2d(AvgPoolOp):
    """``y[n,c,i,j] = sum over k,l of x[n, c, i*S + k - P, j*S + l - P] / divisor(i, j)``"""

    name = "avg_pool2d"
    operand_names = ("input",)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (image,) = self.operands(operands)
        return (self.pooled(image),)


@dataclass(frozen=True)
class AvgPool2dGrad(AvgPoolOp):
    """``dx[n, c, i*S + k - P, j*S + l - P] += dy[n,c,i,j] / divisor(i, j)``"""

    name = "avg_pool2d_grad"
    operand_names = ("grad",)
    input_size: Pair = (1, 1)

    def check(self) -> None:
        super().check()
        require_pair("input_size", self.input_size, 1)

    def infer(self, *operands: TensorType) -> tuple[TensorType, ...]:
        (grad,) = self.operands(operands)
        require_rank("grad", grad, 4, f"({', '.join(self.layout)})")
        image = with_spatial_size(grad, self.layout, self.input_size)
        require_type("grad", grad, self.pooled(image))
        return (image,)


@dataclass(frozen=True)
class MaxPool2dTaps(MaxPool2d):
    """:class:`MaxPool2d`, a vectorised maximum for each kernel tap, in a layout of choice."""

    name = "max_pool2d_taps"
    layout: str = NCHW


@dataclass(frozen=True)
class MaxPool2dGradTaps(MaxPool2dGrad):
    """:class:`MaxPool2dGrad`, a vectorised step for each kernel tap, in a layout of choice."""

    name = "max_pool2d_grad_taps"
    layout: str = NCHW


@dataclass(frozen=True)
class AvgPool2dTaps(AvgPool2d):
    """:class:`AvgPool2d`, a vectorised sum for each kernel tap, in a layout of choice."""

    name = "avg_pool2d_taps"
    layout: str = NCHW


@dataclass(frozen=True)
class AvgPool2dGradTaps(AvgPool2dGrad):
    """:class:`AvgPool2dGrad`, a vectorised step for each kernel tap, in a layout of choice."""

    name = "avg_pool2d_grad_taps"
    layout: str = NCHW
