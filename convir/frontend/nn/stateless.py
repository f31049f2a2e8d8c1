"""Layers without parameters: pooling, activations, flatten, dropout, identity."""

from __future__ import annotations

from typing import Any

from convir.frontend.nn import functional
from convir.frontend.nn.arguments import PairLike, constructing, integer, pair
from convir.frontend.nn.module import Module
from convir.ir import UnsupportedError, ops


class MaxPool2d(Module):
    """Maximum of each window over (N, C, H, W); the arguments are PyTorch's, without indices.

    Raises:
        ShapeError: arguments that no input could fit, such as padding over half the window.
        UnsupportedError: ``return_indices=True``.
    """

    def __init__(
        self,
        kernel_size: PairLike,
        stride: PairLike | None = None,
        padding: PairLike = 0,
        dilation: PairLike = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.ceil_mode = bool(ceil_mode)
        with constructing(self):
            if return_indices:
                raise UnsupportedError("max pooling returns no indices; leave return_indices=False")
            ops.MaxPool2d(**functional.window(kernel_size, stride, padding), dilation=pair("dilation", dilation))

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> (N, C, OH, OW)"""
        return functional.max_pool2d(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """Average of each window over (N, C, H, W); the arguments are PyTorch's.

    Raises:
        ShapeError: arguments that no input could fit, such as padding over half the window.
    """

    def __init__(
        self,
        kernel_size: PairLike,
        stride: PairLike | None = None,
        padding: PairLike = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = bool(ceil_mode)
        self.count_include_pad = bool(count_include_pad)
        self.divisor_override = divisor_override
        with constructing(self):
            if divisor_override is not None:
                integer("divisor_override", divisor_override)
            ops.AvgPool2d(**functional.window(kernel_size, stride, padding), divisor_override=divisor_override)

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> (N, C, OH, OW)"""
        return functional.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class Flatten(Module):
    """Axes ``start_dim`` to ``end_dim`` merged into one; by default all but the batch."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        with constructing(self):
            self.start_dim = integer("start_dim", start_dim)
            self.end_dim = integer("end_dim", end_dim)

    def forward(self, input: Any) -> Any:
        """(N, ...) -> (N, product of the rest)"""
        return functional.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class ReLU(Module):
    """``max(x, 0)``. ``inplace`` has no effect: the compiler decides which buffers are used again."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """Any shape -> the same shape"""
        return functional.relu(input)

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """``1 / (1 + exp(-x))``"""

    def forward(self, input: Any) -> Any:
        """Any shape -> the same shape"""
        return functional.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Any) -> Any:
        """Any shape -> the same shape"""
        return functional.tanh(input)


class Identity(Module):
    """Returns its input; takes any arguments and ignores them, so that it can stand in for any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Arguments are ignored."""

    def forward(self, input: Any) -> Any:
        """Any shape -> the same shape"""
        return input


class Dropout(Module):
    """In training, each element is 0 with probability ``p`` and otherwise divided by ``1 - p``; else nothing.

    Whether it is in training is decided when the model is traced (``model.train()``, ``model.eval()``).

    Raises:
        ShapeError: ``p`` is not between 0 and 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        with constructing(self):
            functional.probability(p)
        self.p = p
        self.inplace = inplace

    def forward(self, input: Any) -> Any:
        """Any shape -> the same shape"""
        return functional.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return f"p={self.p}, inplace={self.inplace}"
