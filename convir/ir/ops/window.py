"""Sliding windows: the attributes and the size rule that convolution, pooling and im2col share."""

from __future__ import annotations

from dataclasses import dataclass

from convir.ir.errors import ShapeError
from convir.ir.op import Op, quiet

Pair = tuple[int, int]


@dataclass(frozen=True)
class WindowOp(Op):
    """An op that slides a window over the two spatial axes: the attributes that all such ops have."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = quiet((1, 1))

    def check(self) -> None:
        require_pair("stride", self.stride, 1)
        require_pair("padding", self.padding, 0)
        require_pair("dilation", self.dilation, 1)

    def output_size(self, size: Pair, kernel: Pair, ceil_mode: bool = False) -> Pair:
        """Rows and columns of the result for an input plane of ``size``."""
        rows, columns = (
            window_count(
                size[axis], kernel[axis], self.stride[axis], self.padding[axis], self.dilation[axis], ceil_mode
            )
            for axis in (0, 1)
        )
        if rows > 0 and columns > 0:
            return rows, columns
        padded = tuple(size[axis] + 2 * self.padding[axis] for axis in (0, 1))
        reach = tuple(extent(kernel[axis], self.dilation[axis]) for axis in (0, 1))
        dilated = f" ({_by(reach)} with dilation {self.dilation})" if reach != kernel else ""
        raise ShapeError(
            f"kernel {_by(kernel)}{dilated} is larger than the padded input {_by(padded)} "
            f"(input {_by(size)}, padding {self.padding})"
        )


def window_count(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool = False) -> int:
    """Number of window positions: ``(H + 2P - D(K-1) - 1)//S + 1``.

    With ``ceil_mode`` the division rounds up, unless the last window would then start in the right
    padding (PyTorch's rule, ``pooling_output_shape`` in ATen); one window may then be larger than
    the padded input. Without a place for any window the number is not positive.
    """
    room = size + 2 * padding - extent(kernel, dilation)
    if not ceil_mode:
        return room // stride + 1
    count = -(-room // stride) + 1
    return count - 1 if (count - 1) * stride >= size + padding else count


def extent(kernel: int, dilation: int) -> int:
    """How many input rows a dilated kernel spans."""
    return dilation * (kernel - 1) + 1


def require_pair(label: str, pair: object, least: int) -> None:
    """Raise ShapeError unless ``pair`` is two integers of at least ``least``."""
    if (
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(item, int) and not isinstance(item, bool) and item >= least for item in pair)
    ):
        return
    raise ShapeError(f"{label} must be two integers of at least {least}, got {pair!r}")


def _by(pair: tuple[int, ...]) -> str:
    return "x".join(map(str, pair))
