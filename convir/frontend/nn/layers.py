"""Layers with parameters: convolution and linear.

Weights start He normal (variance 2 / fan_in) and biases at zero. PyTorch starts both uniform with
variance 1 / (3 fan_in); for equal numbers, load its state dict.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convir.frontend.missing import refuse_device
from convir.frontend.nn import functional
from convir.frontend.nn.arguments import PairLike, constructing, conv_padding, count, pair
from convir.frontend.nn.init import kaiming_normal_
from convir.frontend.nn.module import Module
from convir.frontend.nn.parameter import Parameter
from convir.ir import DTypeError, ShapeError, TensorType, UnsupportedError, ops
from convir.ir.ops.window import require_pair


class Conv2d(Module):
    """Convolution of (N, C, H, W) to (N, O, OH, OW), with ``OH = (H + 2P - D(K-1) - 1)//S + 1``.

    The arguments are PyTorch's. ``padding`` is a number, a pair, "same" or "valid";
    ``padding_mode`` can only be "zeros". Parameters: ``weight`` (O, C/groups, KH, KW), He normal,
    and ``bias`` (O,), zero.

    Raises:
        ShapeError: arguments that no input could fit, such as groups that do not divide the channels.
        UnsupportedError: another padding mode, or a device.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PairLike,
        stride: PairLike = 1,
        padding: PairLike | str = 0,
        dilation: PairLike = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: None = None,
        dtype: Any = None,
    ) -> None:
        refuse_device("Conv2d", device)
        with constructing(self):
            self.in_channels = count("in_channels", in_channels)
            self.out_channels = count("out_channels", out_channels)
            self.kernel_size = pair("kernel_size", kernel_size)
            self.stride = pair("stride", stride)
            self.padding = padding if isinstance(padding, str) else pair("padding", padding)
            self.dilation = pair("dilation", dilation)
            self.groups = count("groups", groups)
            self.padding_mode = padding_mode
            self._check()
            shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
            self.weight = kaiming_normal_(_zeros(shape, dtype))
            self.bias = _zeros(shape[:1], dtype) if bias else None

    def _check(self) -> None:
        require_pair("kernel_size", self.kernel_size, 1)
        around, _ = conv_padding(self.padding, self.kernel_size, self.stride, self.dilation)
        ops.Conv2d(stride=self.stride, padding=around, dilation=self.dilation, groups=self.groups)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ShapeError(
                f"groups={self.groups} must divide both in_channels={self.in_channels} "
                f"and out_channels={self.out_channels}"
            )
        if self.padding_mode != "zeros":
            raise UnsupportedError(f"padding_mode can only be 'zeros', got {self.padding_mode!r}")

    def forward(self, input: Any) -> Any:
        """(N, C, H, W) -> (N, O, OH, OW)"""
        return functional.conv2d(input, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        """As in PyTorch: what differs from the default."""
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        parts += [f"padding={self.padding}"] if self.padding != (0, 0) else []
        parts += [f"dilation={self.dilation}"] if self.dilation != (1, 1) else []
        parts += [f"groups={self.groups}"] if self.groups != 1 else []
        parts += ["bias=False"] if self.bias is None else []
        return ", ".join(parts)


class Linear(Module):
    """``y = x @ weight.T + bias`` for x (..., in_features); leading dimensions are kept.

    Parameters: ``weight`` (out_features, in_features), He normal, and ``bias`` (out_features,), zero.

    Raises:
        ShapeError: a number of features that is not a positive integer.
        UnsupportedError: a device.
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: None = None, dtype: Any = None
    ) -> None:
        refuse_device("Linear", device)
        with constructing(self):
            self.in_features = count("in_features", in_features)
            self.out_features = count("out_features", out_features)
            self.weight = kaiming_normal_(_zeros((self.out_features, self.in_features), dtype))
            self.bias = _zeros((self.out_features,), dtype) if bias else None

    def forward(self, input: Any) -> Any:
        """(..., in_features) -> (..., out_features)"""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """As in PyTorch."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def _zeros(shape: tuple[int, ...], dtype: Any) -> Parameter:
    type = TensorType(shape, "float32" if dtype is None else dtype)
    if not type.is_float:
        raise DTypeError(f"dtype must be float32 or float64, got {type.dtype}")
    return Parameter(np.zeros(type.shape, type.dtype))
